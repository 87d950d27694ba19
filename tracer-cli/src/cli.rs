//! The command line: which tool, with which flags, and what exit code.

use std::{ffi::OsString, path::Path, process::ExitCode, rc::Rc};

use clap::{ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};
use clap_complete::Shell;

use crate::{
    bpf::object::Object,
    doctor,
    engine::{
        Plan, child,
        common::Common,
        dist,
        judge::Judge,
        session::Session,
        snoop,
        stack::{
            self, Taken,
            rows::{RowStackFlags, RowStacks, Sides},
        },
        top,
        view::columns_help,
    },
    error::{FAILED, FAILED_WITH_COMMAND, Failure},
    help, list, objects,
    output::Column,
    replay::Replay,
    symbols::Symbols,
    tool::{Entry, Shape},
    tools,
};

const SEE: &str = "see 'tracer --help'";

/// Runs tracer with these arguments.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let has_command = args.iter().any(|arg| arg == "--");
    let code = run(args).unwrap_or_else(|error| report(&error, has_command));
    // A command outlives the trouble that tracer has; whoever called waits for both.
    child::end();
    ExitCode::from(code)
}

/// Says what went wrong in one line, and gives the exit code.
fn report(error: &anyhow::Error, has_command: bool) -> u8 {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        return report_usage(error);
    }
    eprintln!("tracer: {}", format!("{error:#}").replace('\n', "; "));
    match error.downcast_ref::<Failure>() {
        Some(
            failure @ (Failure::Usage(_)
            | Failure::Command { .. }
            | Failure::Lost(_)
            | Failure::Expectation(_)),
        ) => failure.code(),
        _ if has_command => FAILED_WITH_COMMAND,
        Some(failure) => failure.code(),
        None => FAILED,
    }
}

/// Help and version go to stdout as they are; of an error, clap's first line is the one that says.
fn report_usage(error: &clap::Error) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed pipe is no failure.
        let _ = error.print();
        return 0;
    }
    let text = error.to_string();
    let mut lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let rest: Vec<&str> = lines.filter(|line| !line.starts_with("For more")).collect();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let line = if rest.is_empty() { first.to_owned() } else { format!("{first} {}", rest.join("; ")) };
    eprintln!("tracer: {line}");
    2
}

fn run(mut args: Vec<OsString>) -> anyhow::Result<u8> {
    let called = args.first().map(|program| base_name(Path::new(program))).unwrap_or_default();
    if let Some(tool) = tools::find(&called) {
        return run_tool(tool, args);
    }
    let Some(name) =
        args.get(1).and_then(|name| name.to_str()).filter(|name| !name.starts_with('-')).map(str::to_owned)
    else {
        command().try_get_matches_from(args)?;
        return Err(Failure::Usage(format!("which tool? 'tracer list' shows them, {SEE}")).into());
    };
    if let Some(tool) = tools::find(&name) {
        args.remove(0);
        return run_tool(tool, args);
    }
    match command().try_get_matches_from(args)?.subcommand() {
        Some(("list", matches)) => list::run(matches.get_flag("json")),
        Some(("doctor", matches)) => doctor::run(matches.get_flag("json")),
        Some(("replay", matches)) => Replay::from_arg_matches(matches)?.run(),
        Some(("help", matches)) => help(matches),
        Some(("completions", matches)) => completions(matches),
        _ => Err(Failure::Usage(unknown_tool(&name)).into()),
    }
}

fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// tracer's own commands, and one for each tool.
pub fn command() -> Command {
    let json = || clap::arg!(--json "As JSON");
    let pages = tools::names().chain(help::COMMANDS.iter().map(|(name, _)| *name));
    let mut command = Command::new("tracer")
        .version(env!("CARGO_PKG_VERSION"))
        .about("eBPF tracing tools in one static binary")
        .subcommand_value_name("TOOL")
        .subcommand_help_heading("Commands and tools")
        .allow_external_subcommands(true)
        .disable_help_subcommand(true)
        .subcommand(Command::new("list").about("Show the tools by domain").arg(json()))
        .subcommand(
            Command::new("doctor")
                .about("Show what this kernel allows, and which tools run here")
                .arg(json()),
        )
        .subcommand(
            // The flags' struct brings a description of its own.
            Replay::augment_args(Command::new("replay"))
                .about("Print again what a run with --json has recorded")
                .long_about(None),
        )
        .subcommand(
            Command::new("help")
                .about("Show the page of a tool: what it is for, flags, columns, examples, caveats")
                .arg(
                    clap::arg!([TOOL] "The tool, or another command; without it, the list of all")
                        .value_parser(pages.collect::<Vec<_>>())
                        .hide_possible_values(true),
                )
                .arg(clap::arg!(--man "As source for man(1)")),
        )
        .subcommand(
            Command::new("completions")
                .about("Print what makes a shell complete tracer's command lines")
                .arg(clap::arg!(<SHELL>).value_parser(["bash", "zsh", "fish"])),
        );
    for tool in tools::TOOLS {
        command = command.subcommand(tool_command(tool));
    }
    command
}

pub fn tool_command(tool: &Entry) -> Command {
    let command = Command::new(tool.about.name)
        .bin_name(format!("tracer {}", tool.about.name))
        .visible_aliases(tool.about.aliases.iter().copied());
    // The tool's positional arguments stand before the command, which is last. The flags' structs
    // bring descriptions of their own, so the tool's is set after them.
    let command = with_stack_flag(tool, (tool.augment)(command));
    Common::augment_args(command).about(tool.about.summary).long_about(None)
}

/// `--stack`, in tools whose rows can show it.
fn with_stack_flag(tool: &Entry, command: Command) -> Command {
    let Some(of) = tool.stack_of else { return command };
    let command = RowStackFlags::augment_args(command);
    command.mut_arg(stack::rows::FLAG, |flag| flag.help(format!("Show with each row the stacks of {of}")))
}

/// The page of a tool. Without one it is the same as `--help`, but for man(1), which has a page on all.
fn help(matches: &ArgMatches) -> anyhow::Result<u8> {
    let tool = matches.get_one::<String>("TOOL").map(String::as_str);
    let as_man = matches.get_flag("man");
    if tool.is_none() && !as_man {
        return list::print(&command().render_long_help().to_string());
    }
    help::run(tool, as_man, &command(), tool_command)
}

fn completions(matches: &ArgMatches) -> anyhow::Result<u8> {
    let shell = match matches.get_one::<String>("SHELL").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "tracer", &mut script);
    list::print(&String::from_utf8(script)?)
}

/// An unknown tool's message, with the nearest name if one is near.
fn unknown_tool(name: &str) -> String {
    let nearest = tools::names().map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= name.len().div_ceil(3) => {
            format!("there is no tool {name:?}; did you mean {known}?")
        }
        _ => format!("there is no tool {name:?}: 'tracer list' shows them"),
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn run_tool(tool: &Entry, args: Vec<OsString>) -> anyhow::Result<u8> {
    let Run { common, plan, mut shape, sides, judge } = read(tool, args)?;
    if common.view.list_columns {
        return list::print(&common.view.list(&shape.judged(sides)));
    }
    common.say_pushed(&plan);
    let mut symbols = Symbols::default();
    let mut flame_graph = None;
    if let Shape::Stack(tool) = &shape {
        flame_graph = stack::FlameGraph::new(&tool.flags().flame_graph)?;
    }
    if plan.stacks {
        common.pid.iter().for_each(|&pid| symbols.know(pid));
    }
    if matches!(sides, Some(Sides::Both | Sides::Kernel)) {
        symbols.know_kernel();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let Some(mut session) = Session::start(common, object_of(tool)?, &plan)? else { return Ok(0) };
        session.judge = judge;
        match shape {
            Shape::Snoop(snoop) => {
                let taken =
                    if plan.user_functions.is_some() { Taken::AtReturns } else { Taken::OnTracepoints };
                let stacks =
                    sides.map(|sides| RowStacks::new(&session, sides, taken, symbols)).transpose()?;
                snoop::run(session, snoop, sides, stacks).await
            }
            Shape::Dist(dist) => dist::run(session, dist).await,
            Shape::Top(top) => top::run(session, top).await,
            Shape::Stack(stacks) => stack::run(session, stacks, tool.about.name, symbols, flame_graph).await,
        }
    })
}

/// What a tool's command line asks for.
pub struct Run {
    common: Common,
    plan: Plan,
    shape: Shape,
    /// The stacks that rows are to show.
    sides: Option<Sides>,
    judge: Option<Rc<Judge>>,
}

/// Reads a tool's command line: what is wrong with it is told before anything is loaded.
///
/// # Errors
/// Whatever is wrong, and clap's for help.
pub fn read(tool: &Entry, args: Vec<OsString>) -> anyhow::Result<Run> {
    let mut command = tool_command(tool);
    if args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-h") {
        command = command.after_help(columns_help(&defaults(tool)?.1.judged(None)));
    }
    let called = args.first().map(|name| base_name(Path::new(name))).unwrap_or_default();
    let matches = command.try_get_matches_from(args)?;
    let mut common = Common::from_arg_matches(&matches)?;
    let (mut plan, mut shape) = prepare(tool, &matches, &common, &called)?;
    let sides = sides(tool, &matches);
    if sides.is_some() && !matches!(shape, Shape::Snoop(_)) {
        return Err(Failure::Usage("--stack: a summary has no rows of events".to_owned()).into());
    }
    let judged = shape.judged(sides);
    if common.view.list_columns {
        return Ok(Run { common, plan, shape, sides, judge: None });
    }
    common.view.layout(&shape.columns(sides))?;
    let judge = common.view.judge(judged)?.map(Rc::new);
    if let Some(pushed) = judge.as_ref().map(|judge| judge.pushed()).filter(|pushed| !pushed.is_empty()) {
        common.push(pushed);
        (plan, shape) = prepare(tool, &matches, &common, &called)?;
    }
    if let Shape::Top(top) = &shape {
        top::order(top.as_ref())?;
    }
    Ok(Run { common, plan, shape, sides, judge })
}

/// The columns of a tool's rows, with the flags it has by default.
///
/// # Errors
/// Those of the tool itself.
pub fn default_columns(tool: &Entry) -> anyhow::Result<Vec<Column>> {
    Ok(defaults(tool)?.1.columns(None))
}

/// A tool's plan with the flags it has by default.
///
/// # Errors
/// Those of the tool itself.
pub fn default_plan(tool: &Entry) -> anyhow::Result<Plan> {
    Ok(defaults(tool)?.0)
}

fn prepare(
    tool: &Entry,
    matches: &ArgMatches,
    common: &Common,
    called: &str,
) -> anyhow::Result<(Plan, Shape)> {
    let mut plan = Plan { called: called.to_owned(), ..Plan::new(common) };
    if let Some(sides) = sides(tool, matches) {
        sides.plan(&mut plan);
    }
    let shape = (tool.prepare)(matches, &mut plan)?;
    Ok((plan, shape))
}

/// The stacks that rows are to show.
fn sides(tool: &Entry, matches: &ArgMatches) -> Option<Sides> {
    tool.stack_of.and_then(|_| matches.get_one(stack::rows::FLAG)).copied()
}

fn defaults(tool: &Entry) -> anyhow::Result<(Plan, Shape)> {
    let matches: ArgMatches = tool_command(tool).try_get_matches_from([tool.about.name])?;
    prepare(tool, &matches, &Common::from_arg_matches(&matches)?, "")
}

/// A tool's parsed object file.
///
/// # Errors
/// If the build left it out.
pub fn object_of(tool: &Entry) -> anyhow::Result<Object> {
    let name = tool.about.name;
    let data = objects::of(name)
        .ok_or_else(|| anyhow::anyhow!("this binary was built without the object of {name}"))?;
    Ok(Object::parse(data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_is_there_twice() {
        command().debug_assert();
        for tool in tools::TOOLS {
            tool_command(tool).debug_assert();
        }
    }

    #[test]
    fn flags_mean_the_same_in_every_tool() {
        let short = |command: &Command, long: &str| {
            command.get_arguments().find(|flag| flag.get_long() == Some(long)).and_then(clap::Arg::get_short)
        };
        let shared =
            [("pid", 'p'), ("tid", 't'), ("uid", 'u'), ("comm", 'n'), ("follow", 'f'), ("duration", 'd')];
        let rows = [("format", 'F'), ("output", 'o'), ("time", 'T'), ("quiet", 'q'), ("verbose", 'v')];
        for tool in tools::TOOLS {
            let command = tool_command(tool);
            for (long, letter) in shared.into_iter().chain(rows) {
                assert_eq!(short(&command, long), Some(letter), "{}: --{long}", tool.about.name);
            }
            // Where they are there at all.
            for (long, letter) in [("failed", 'x'), ("count", 'c')] {
                assert!(
                    short(&command, long).is_none_or(|found| found == letter),
                    "{}: --{long}",
                    tool.about.name
                );
            }
        }
    }

    #[test]
    fn names_near_a_tools_are_recognised() {
        assert!(unknown_tool("opensnop").contains("opensnoop"));
        assert!(unknown_tool("xyzzyplugh").contains("tracer list"));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
