//! `tracer list`: the tools by domain.

use std::io::{self, Write};

use serde_json::json;

use crate::{tool::Entry, tools::TOOLS};

/// Prints the list.
///
/// # Errors
/// If stdout can't be written.
pub fn run(as_json: bool) -> anyhow::Result<u8> {
    print(&if as_json { json_list() } else { text_list() })
}

fn sorted() -> Vec<&'static Entry> {
    let mut tools: Vec<&Entry> = TOOLS.iter().collect();
    tools.sort_by_key(|tool| (tool.about.domain, tool.about.name));
    tools
}

/// The list for people.
#[must_use]
pub fn text_list() -> String {
    let mut text = String::new();
    let mut domain = None;
    for tool in sorted() {
        if domain.replace(tool.about.domain) != Some(tool.about.domain) {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{}\n", tool.about.domain.name()));
        }
        text.push_str(&format!("  {:<16}{}", tool.about.name, tool.about.summary));
        if !tool.about.aliases.is_empty() {
            text.push_str(&format!(" (also {})", tool.about.aliases.join(", ")));
        }
        text.push('\n');
    }
    text
}

fn json_list() -> String {
    let tools: Vec<_> = sorted()
        .into_iter()
        .map(|tool| {
            let about = &tool.about;
            json!({"name": about.name, "domain": about.domain.name(), "summary": about.summary, "aliases": about.aliases})
        })
        .collect();
    format!("{}\n", json!({ "tools": tools }))
}

/// Writes to stdout; a closed pipe is a quiet end.
///
/// # Errors
/// If it can't be written for another reason.
pub fn print(text: &str) -> anyhow::Result<u8> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(0),
    }
}
