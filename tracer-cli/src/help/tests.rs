//! Every tool's page must say what its code says.

use std::collections::BTreeSet;

use super::*;
use crate::{cli, output::Format};

const ORDER: &[&str] = &["Synopsis", "Examples", "Columns", "Flags", "How it works", "Overhead", "Caveats"];

#[test]
fn pages_have_their_sections_in_order() {
    for tool in tools::TOOLS {
        let page = page(tool).unwrap();
        assert_eq!(page[0].title, tool.about.name);
        assert!(!page[0].blocks.is_empty(), "{}: what is it for?", tool.about.name);
        let titles: Vec<&str> = page[1..].iter().map(|section| section.title.as_str()).collect();
        assert_eq!(titles, ORDER, "{}", tool.about.name);
        let examples = &markdown::section(&page, "Examples").unwrap().blocks;
        let count = examples.iter().filter(|block| matches!(block, Block::Verbatim(_))).count();
        assert!(count >= 3, "{}: {count} examples", tool.about.name);
    }
}

/// The names before a table's meanings, with what follows them in brackets.
fn terms(section: &Section) -> Vec<&str> {
    let terms = section.blocks.iter().filter_map(|block| match block {
        Block::Terms(terms) => Some(terms),
        _ => None,
    });
    terms.flatten().map(|(term, _)| term.as_str()).collect()
}

/// Columns as (name, unit, hidden).
fn columns_of(page: &[Section]) -> BTreeSet<(String, String, bool)> {
    let section = markdown::section(page, "Columns").unwrap();
    let mut columns = BTreeSet::new();
    for term in terms(section) {
        let (names, unit) = term.split_once(" [").unwrap_or((term, ""));
        for name in names.split(',').map(str::trim) {
            let hidden = name.ends_with('*');
            let name = name.trim_end_matches(['*', ' ']).trim_matches('`').to_owned();
            columns.insert((name, unit.trim_end_matches(']').trim_matches('`').to_owned(), hidden));
        }
    }
    columns
}

#[test]
fn pages_have_the_columns_of_the_schema() {
    let mut wrong = Vec::new();
    for tool in tools::TOOLS {
        let schema = cli::default_columns(tool).unwrap();
        let page = columns_of(&page(tool).unwrap());
        // Those that every tool has when they are asked for are the README's.
        for column in schema.into_iter().filter(|column| column.is_in(Format::Json)) {
            let unit = column.unit.unwrap_or_default().to_owned();
            let wanted = (column.name.to_owned(), unit, !column.is_in(Format::Table));
            if !page.contains(&wanted) {
                wrong.push(format!("{}: {wanted:?}", tool.about.name));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the tables of columns: {wrong:#?}");
}

/// The long names of flags in a text.
fn long_flags(text: &str) -> impl Iterator<Item = String> {
    let is_end = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    text.split("--").skip(1).filter_map(move |rest| {
        let name = rest.split(is_end).next().unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    })
}

#[test]
fn pages_have_the_flags_of_the_command_line() {
    let common = Common::augment_args(Command::new("x"));
    let is_common = |long: &str| common.get_arguments().any(|arg| arg.get_long() == Some(long));
    for tool in tools::TOOLS {
        let name = tool.about.name;
        let own: BTreeSet<String> = cli::tool_command(tool)
            .get_arguments()
            .filter_map(|arg| arg.get_long().filter(|long| !is_common(long)).map(str::to_owned))
            .collect();
        let page = page(tool).unwrap();
        let said: BTreeSet<String> =
            terms(markdown::section(&page, "Flags").unwrap()).into_iter().flat_map(long_flags).collect();
        let missing: Vec<_> =
            own.difference(&said).filter(|flag| !SAID_ELSEWHERE.contains(&flag.as_str())).collect();
        assert!(missing.is_empty(), "{name}: the page is silent about {missing:?}");
        let wrong: Vec<_> = said.difference(&own).filter(|flag| !is_common(flag)).collect();
        assert!(wrong.is_empty(), "{name}: the page speaks of {wrong:?}, which are not there");
    }
}

/// Flags that tools of a shape share; the README has them.
const SAID_ELSEWHERE: &[&str] = &["count", "rows", "sort"];

#[test]
fn help_is_whole_for_every_tool() {
    for tool in tools::TOOLS {
        let sections = of_tool(tool, cli::tool_command(tool)).unwrap();
        let text = text::render(&sections);
        for word in ["NAME\n", "SYNOPSIS\n", "FLAGS\n", "--duration TIME", "COLUMNS\n", "EXIT CODES\n"] {
            assert!(text.contains(word), "{}: no {word:?} in {text}", tool.about.name);
        }
        assert!(!text.contains('`'), "{}", tool.about.name);
        let man = roff::render(tool.about.name, &sections);
        assert!(man.lines().filter(|line| line.starts_with(".SH")).count() >= 10);
    }
}

#[test]
fn tracers_own_page_has_what_the_readme_says() {
    let sections = of_tracer();
    for title in SHARED {
        assert!(sections.iter().any(|section| section.title == *title), "the README has no {title:?}");
    }
    assert!(text::render(&sections).contains("execsnoop"));
}

#[test]
fn every_command_has_its_page() {
    let tracer = cli::command();
    let pages: BTreeSet<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
    let commands = tracer.get_subcommands().map(Command::get_name).filter(|name| tools::find(name).is_none());
    assert_eq!(pages, commands.filter(|name| *name != "help").collect());
    for name in pages {
        let text = text::render(&of_command(name, &tracer).unwrap());
        for word in [&format!("tracer {name}"), "SYNOPSIS\n", "EXIT CODES\n"] {
            assert!(text.contains(word), "{name}: no {word:?} in {text}");
        }
    }
    let replay = text::render(&of_command("replay", &tracer).unwrap());
    assert!(replay.contains("--filter EXPR") && replay.contains("DESCRIPTION"), "{replay}");
}
