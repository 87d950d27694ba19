//! The long help, for `tracer help NAME` and man(1): a tool's page of docs/tools, with the flags
//! as the command line has them, and of the README what concerns all tools.

mod markdown;
mod roff;
mod text;

use clap::{Arg, ArgAction, Args, Command};
use markdown::{Block, Section};

use crate::{engine::common::Common, error::Failure, list, tool::Entry, tools};

const README: &str = include_str!("../../../README.md");
/// What of the README every user of tracer may need.
const SHARED: &[&str] = &[
    "Commands",
    "Conditions",
    "Stacks",
    "Record and replay",
    "In CI",
    "Output",
    "Exit codes",
    "How it works",
];
/// tracer's own commands that have a page, with the README's section on them.
pub const COMMANDS: &[(&str, Option<&str>)] =
    &[("completions", None), ("doctor", None), ("list", None), ("replay", Some("Record and replay"))];
const PROGRAM: &str = "tracer";
/// The heading of flags that have none.
const OWN: &str = "Options";

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Prints the page of a tool, of a command of `tracer`, or of tracer itself, as text or as source for man(1).
///
/// # Errors
/// If there is none, or stdout can't be written.
pub fn run(
    name: Option<&str>,
    as_man: bool,
    tracer: &Command,
    tool_command: fn(&Entry) -> Command,
) -> anyhow::Result<u8> {
    let (title, sections) = match name {
        None => (PROGRAM.to_owned(), of_tracer()),
        Some(name) => match tools::find(name) {
            Some(tool) => (format!("tracer-{}", tool.about.name), of_tool(tool, tool_command(tool))?),
            None => (format!("tracer-{name}"), of_command(name, tracer)?),
        },
    };
    list::print(&if as_man { roff::render(&title, &sections) } else { text::render(&sections) })
}

/// A tool's page as it was written.
fn page(tool: &Entry) -> anyhow::Result<Vec<Section>> {
    let name = tool.about.name;
    let page = PAGES.iter().find(|(page, _)| *page == name);
    let (_, text) =
        page.ok_or_else(|| anyhow::anyhow!("this binary was built without the page of {name}"))?;
    Ok(markdown::sections(text))
}

fn of_tool(tool: &Entry, command: Command) -> anyhow::Result<Vec<Section>> {
    let about = &tool.about;
    let mut page = page(tool)?.into_iter();
    let description = page.next().map(|section| section.blocks).unwrap_or_default();
    let mut rest: Vec<Section> = page.collect();
    let also =
        if about.aliases.is_empty() { String::new() } else { format!(", {}", about.aliases.join(", ")) };
    let mut sections =
        vec![section("Name", vec![paragraph(format!("{}{also} - {}", about.name, about.summary))])];
    if let Some(at) = rest.iter().position(|section| section.title == "Synopsis") {
        sections.push(rest.remove(at));
    }
    sections.push(section("Description", description));
    // The page's own table of flags is what the command line says of the tool's own.
    let at = rest.iter().position(|section| section.title == "Flags");
    let flags = section("Flags", flags(command));
    match at {
        Some(at) => rest[at] = flags,
        None => rest.push(flags),
    }
    sections.extend(rest);
    sections.extend(markdown::section(&markdown::sections(README), "Exit codes").cloned());
    sections.push(section("See also", vec![paragraph("tracer(1)".to_owned())]));
    Ok(sections)
}

fn of_command(name: &str, tracer: &Command) -> anyhow::Result<Vec<Section>> {
    let unknown = || Failure::Usage(format!("there is no page on {name:?}"));
    let (_, readme_title) = COMMANDS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    let mut command = tracer.find_subcommand(name).ok_or_else(unknown)?.clone();
    command = command.bin_name(format!("{PROGRAM} {name}"));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string();
    let readme = markdown::sections(README);
    let of_readme = |title: &str| markdown::section(&readme, title).cloned();
    let mut sections = vec![
        section("Name", vec![paragraph(format!("{PROGRAM}-{name} - {about}"))]),
        section("Synopsis", vec![Block::Verbatim(vec![usage.trim_start_matches("Usage: ").to_owned()])]),
    ];
    if let Some(said) = readme_title.and_then(of_readme) {
        sections.push(section("Description", said.blocks));
    }
    sections.push(section("Flags", flags(command)));
    sections.extend(of_readme("Exit codes"));
    sections.push(section("See also", vec![paragraph("tracer(1)".to_owned())]));
    Ok(sections)
}

fn of_tracer() -> Vec<Section> {
    let readme = markdown::sections(README);
    let intro = readme.first().map(|section| section.blocks.clone()).unwrap_or_default();
    let synopsis = [
        "tracer TOOL [flags] [INTERVAL [COUNT]] [-- CMD ARGS...]",
        "tracer list | doctor [--json]",
        "tracer replay FILE [flags]",
        "tracer help [NAME]",
        "tracer completions bash | zsh | fish",
    ];
    let mut sections = vec![
        section("Name", vec![paragraph("tracer - eBPF tracing tools in one static binary".to_owned())]),
        section("Synopsis", vec![Block::Verbatim(synopsis.map(str::to_owned).to_vec())]),
        section("Description", intro),
        section("Tools", vec![Block::Terms(tools::TOOLS.iter().map(entry).collect())]),
        section("Common flags", flags(Common::augment_args(Command::new(PROGRAM)))),
    ];
    sections.extend(SHARED.iter().filter_map(|title| markdown::section(&readme, title).cloned()));
    let commands = COMMANDS.iter().map(|(name, _)| *name);
    let pages = commands.chain(tools::TOOLS.iter().map(|tool| tool.about.name));
    let pages = pages.map(|name| format!("tracer-{name}(1)"));
    sections.push(section("See also", vec![paragraph(pages.collect::<Vec<_>>().join(", "))]));
    sections
}

fn entry(tool: &Entry) -> (String, String) {
    let also = match tool.about.aliases {
        [] => String::new(),
        aliases => format!(" (also {})", aliases.join(", ")),
    };
    (tool.about.name.to_owned(), format!("{}{also}", tool.about.summary))
}

fn section(title: &str, blocks: Vec<Block>) -> Section {
    Section { title: title.to_owned(), blocks }
}

fn paragraph(text: String) -> Block {
    Block::Paragraph(text)
}

/// The flags of a command under their headings: first what the tool has alone.
fn flags(mut command: Command) -> Vec<Block> {
    command.build();
    let mut groups: Vec<(&str, Vec<(String, String)>)> = vec![(OWN, Vec::new())];
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let heading = arg.get_help_heading().unwrap_or(if arg.is_positional() { "Arguments" } else { OWN });
        let term = (usage(arg), meaning(arg));
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, terms)) => terms.push(term),
            None => groups.push((heading, vec![term])),
        }
    }
    let blocks = |(heading, terms): (&str, _)| [Block::Heading(heading.to_owned()), Block::Terms(terms)];
    groups.into_iter().filter(|(_, terms)| !terms.is_empty()).flat_map(blocks).collect()
}

/// `-p, --pid LIST`, `--time[=FORM]`, `INTERVAL`.
fn usage(arg: &Arg) -> String {
    let names = arg.get_short().map(|short| format!("-{short}"));
    let names: Vec<String> =
        names.into_iter().chain(arg.get_long().map(|long| format!("--{long}"))).collect();
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    let is_optional = arg.get_num_args().is_some_and(|values| values.min_values() == 0);
    match (names.join(", "), takes_value) {
        (names, _) if names.is_empty() => values,
        (names, true) if is_optional => format!("{names}[={values}]"),
        (names, true) => format!("{names} {values}"),
        (names, false) => names,
    }
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if takes_value && !possible.is_empty() {
        text.push_str(&format!(": {}", possible.join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_value && !defaults.is_empty() {
        text.push_str(&format!(" (default: {})", defaults.join(", ")));
    }
    text
}

#[cfg(test)]
mod examples;
#[cfg(test)]
mod tests;
