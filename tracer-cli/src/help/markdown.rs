//! As much of Markdown as the pages use: headings, paragraphs, indented code, lists and tables.

/// What stands under one heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    pub title: String,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Words to be filled into lines; `code` in backticks.
    Paragraph(String),
    /// Lines that stay as they are.
    Verbatim(Vec<String>),
    Items(Vec<String>),
    /// What there is, and what it means.
    Terms(Vec<(String, String)>),
    Heading(String),
}

/// Where the next line may belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Paragraph,
    Items,
    Verbatim,
    Table,
}

/// The sections of a page. Text before the first heading is left out.
#[must_use]
pub fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut open = Open::Nothing;
    for line in text.lines() {
        let is_heading = open != Open::Verbatim || !line.starts_with(' ');
        if let Some(title) =
            line.strip_prefix("# ").or_else(|| line.strip_prefix("## ")).filter(|_| is_heading)
        {
            sections.push(Section { title: title.trim().to_owned(), blocks: Vec::new() });
            open = Open::Nothing;
        } else if let Some(section) = sections.last_mut() {
            open = add(&mut section.blocks, line, open);
        }
    }
    for block in sections.iter_mut().flat_map(|section| &mut section.blocks) {
        if let Block::Verbatim(lines) = block {
            trim_end(lines);
        }
    }
    sections
}

/// The section with this title.
#[must_use]
pub fn section<'a>(sections: &'a [Section], title: &str) -> Option<&'a Section> {
    sections.iter().find(|section| section.title == title)
}

/// Adds a line to the open block, or begins another; tells which is open then.
fn add(blocks: &mut Vec<Block>, line: &str, open: Open) -> Open {
    let text = line.trim();
    match (blocks.last_mut(), open) {
        (Some(Block::Verbatim(lines)), Open::Verbatim) if text.is_empty() => {
            lines.push(String::new());
            return Open::Verbatim;
        }
        (_, _) if text.is_empty() => return Open::Nothing,
        (Some(Block::Verbatim(lines)), Open::Verbatim) if line.starts_with("    ") => {
            lines.push(line[4..].to_owned());
            return Open::Verbatim;
        }
        (Some(Block::Terms(terms)), Open::Table) if text.starts_with('|') => {
            terms.extend(term(text));
            return Open::Table;
        }
        (Some(Block::Paragraph(words)), Open::Paragraph) => {
            push_words(words, text);
            return Open::Paragraph;
        }
        (Some(Block::Items(items)), Open::Items) if !text.starts_with("- ") => {
            items.last_mut().into_iter().for_each(|words| push_words(words, text));
            return Open::Items;
        }
        _ => {}
    }
    begin(blocks, line)
}

fn begin(blocks: &mut Vec<Block>, line: &str) -> Open {
    let text = line.trim();
    if let Some(item) = text.strip_prefix("- ") {
        match blocks.last_mut() {
            Some(Block::Items(items)) => items.push(item.to_owned()),
            _ => blocks.push(Block::Items(vec![item.to_owned()])),
        }
        return Open::Items;
    }
    let (block, open) = if let Some(code) = line.strip_prefix("    ") {
        (Block::Verbatim(vec![code.to_owned()]), Open::Verbatim)
    } else if text.starts_with('|') {
        // The first line of a table is its heading.
        (Block::Terms(Vec::new()), Open::Table)
    } else if let Some(heading) = text.strip_prefix("### ") {
        (Block::Heading(heading.to_owned()), Open::Nothing)
    } else {
        (Block::Paragraph(text.to_owned()), Open::Paragraph)
    };
    blocks.push(block);
    open
}

fn push_words(words: &mut String, text: &str) {
    words.push(' ');
    words.push_str(text);
}

fn trim_end(lines: &mut Vec<String>) {
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
}

/// A table's row: its first cell, with the middle ones in brackets, and the last.
fn term(row: &str) -> Option<(String, String)> {
    let mut cells = cells(row);
    if cells.iter().all(|cell| cell.starts_with("--")) {
        return None;
    }
    let meaning = cells.pop()?;
    let mut cells = cells.into_iter();
    let mut term = cells.next()?;
    for cell in cells.filter(|cell| !cell.is_empty()) {
        term.push_str(&format!(" [{cell}]"));
    }
    Some((term, meaning))
}

/// The cells of a row, in which `\|` is no border.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').replace("\\|", "\u{0}");
    let row = row.strip_suffix('|').unwrap_or(&row);
    row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// A piece of text, and whether it is code.
pub type Span = (bool, String);

/// The pieces of a paragraph; of a link only its text is left.
#[must_use]
pub fn spans(text: &str) -> Vec<Span> {
    let text = without_links(text);
    let pieces = text.split('`').enumerate();
    pieces.map(|(i, piece)| (i % 2 == 1, piece.to_owned())).filter(|(_, piece)| !piece.is_empty()).collect()
}

fn without_links(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("](") {
        let Some(open) = before.rfind('[') else { break };
        let Some((_, behind)) = after.split_once(')') else { break };
        out.push_str(&before[..open]);
        out.push_str(&before[open + 1..]);
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# name\n\nWhat it\nis.\n\n## Examples\n\nOne:\n\n    # run\n      a  b\n\n    c\n\n\
        ## Flags\n\n| flag | unit | meaning |\n|---|---|---|\n| `a\\|b` | us | x [y](z) |\n| c | | d |\n\n\
        - one\n  more\n- two\n\n### Sub\ntext\n";

    #[test]
    fn a_page_becomes_sections_and_blocks() {
        let sections = sections(PAGE);
        let titles: Vec<&str> = sections.iter().map(|section| section.title.as_str()).collect();
        assert_eq!(titles, ["name", "Examples", "Flags"]);
        assert_eq!(sections[0].blocks, [Block::Paragraph("What it is.".into())]);
        let verbatim = ["# run", "  a  b", "", "c"].map(str::to_owned).to_vec();
        assert_eq!(sections[1].blocks[1], Block::Verbatim(verbatim));
        let terms = [("`a|b` [us]", "x [y](z)"), ("c", "d")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(
            sections[2].blocks,
            [
                Block::Terms(terms.to_vec()),
                Block::Items(vec!["one more".into(), "two".into()]),
                Block::Heading("Sub".into()),
                Block::Paragraph("text".into()),
            ]
        );
    }

    #[test]
    fn links_leave_their_text_and_code_is_marked() {
        let want = [(false, "see fsslower for "), (true, "-x"), (false, " [us]")];
        let want = want.map(|(code, text)| (code, text.to_owned()));
        assert_eq!(spans("see [fsslower](fsslower.md) for `-x` [us]"), want);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "([#|`\\-\\[\\]() \n\\\\a]|\\PC)*") {
            for section in sections(&format!("# x\n{text}")) {
                std::hint::black_box(section);
            }
            std::hint::black_box(spans(&text));
        }
    }
}
