//! A page as text for a terminal.

use super::markdown::{Block, Section, spans};

const WIDTH: usize = 80;
const INDENT: usize = 4;
/// Terms that are all as short as this have their meanings beside them.
const NARROW: usize = 18;

#[must_use]
pub fn render(sections: &[Section]) -> String {
    let mut out = String::new();
    for section in sections {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!("{}\n", section.title.to_uppercase()));
        let mut is_under_heading = true;
        for block in &section.blocks {
            if !is_under_heading {
                out.push('\n');
            }
            render_block(&mut out, block);
            is_under_heading = matches!(block, Block::Heading(_));
        }
    }
    out
}

fn render_block(out: &mut String, block: &Block) {
    match block {
        Block::Paragraph(text) => fill(out, &plain(text), INDENT, INDENT),
        Block::Heading(text) => out.push_str(&format!("  {}\n", plain(text))),
        Block::Verbatim(lines) => lines.iter().for_each(|line| push_line(out, INDENT * 2, line)),
        Block::Items(items) => {
            items.iter().for_each(|item| fill(out, &format!("- {}", plain(item)), INDENT, INDENT + 2));
        }
        Block::Terms(terms) => render_terms(out, terms),
    }
}

fn render_terms(out: &mut String, terms: &[(String, String)]) {
    let terms: Vec<_> = terms.iter().map(|(term, meaning)| (plain(term), plain(meaning))).collect();
    let widest = terms.iter().map(|(term, _)| term.chars().count()).max().unwrap_or(0);
    for (term, meaning) in terms {
        if widest <= NARROW {
            fill(out, &format!("{term:widest$}  {meaning}"), INDENT, INDENT + widest + 2);
        } else {
            push_line(out, INDENT, &term);
            fill(out, &meaning, INDENT * 3, INDENT * 3);
        }
    }
}

fn plain(text: &str) -> String {
    spans(text).into_iter().map(|(_, piece)| piece).collect()
}

fn push_line(out: &mut String, indent: usize, line: &str) {
    out.push_str(format!("{:indent$}{line}", "").trim_end());
    out.push('\n');
}

/// Fills words into lines, the first with an indent of its own. Spaces are kept, so that what is
/// aligned stays so.
fn fill(out: &mut String, text: &str, first: usize, rest: usize) {
    let mut line = " ".repeat(first);
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(rest);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_filled_and_aligned() {
        let word = "word ".repeat(20);
        let sections = [Section {
            title: "Flags".into(),
            blocks: vec![
                Block::Paragraph(word.trim().into()),
                Block::Terms(vec![("`-a`".into(), word.trim().into()), ("-bc".into(), "x".into())]),
                Block::Verbatim(vec!["  as  it is".into()]),
            ],
        }];
        let text = render(&sections);
        assert!(text.starts_with("FLAGS\n    word word"), "{text}");
        assert!(text.contains("\n    -a   word"), "{text}");
        assert!(text.contains("\n         word"), "{text}");
        assert!(text.contains("\n    -bc  x\n\n          as  it is\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
    }
}
