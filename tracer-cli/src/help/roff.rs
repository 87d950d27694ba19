//! A page as source for man(1).

use super::markdown::{Block, Section, spans};

/// `name` is that of the page, such as `tracer-opensnoop`.
#[must_use]
pub fn render(name: &str, sections: &[Section]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let title = name.to_uppercase();
    let mut out = format!(".TH \"{title}\" 1 \"\" \"tracer {version}\" \"User Commands\"\n");
    // No hyphenation, and no stretched lines: words are what one searches for.
    out.push_str(".nh\n.ad l\n");
    for section in sections {
        out.push_str(&format!(".SH \"{}\"\n", escape(&section.title.to_uppercase())));
        section.blocks.iter().for_each(|block| render_block(&mut out, block));
    }
    out
}

fn render_block(out: &mut String, block: &Block) {
    match block {
        Block::Paragraph(text) => out.push_str(&format!(".PP\n{}\n", inline(text))),
        Block::Heading(text) => out.push_str(&format!(".SS \"{}\"\n", escape(text))),
        Block::Verbatim(lines) => {
            out.push_str(".PP\n.RS 4\n.nf\n");
            lines.iter().for_each(|line| out.push_str(&format!("{}\n", at_start(&escape(line)))));
            out.push_str(".fi\n.RE\n");
        }
        Block::Items(items) => {
            items.iter().for_each(|item| out.push_str(&format!(".IP \\(bu 2\n{}\n", inline(item))));
        }
        Block::Terms(terms) => {
            for (term, meaning) in terms {
                let term: String = spans(term).into_iter().map(|(_, piece)| piece).collect();
                out.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escape(&term), inline(meaning)));
            }
        }
    }
}

fn inline(text: &str) -> String {
    let piece = |(is_code, text): (bool, String)| match is_code {
        true => format!("\\fB{}\\fR", escape(&text)),
        false => escape(&text),
    };
    at_start(&spans(text).into_iter().map(piece).collect::<String>())
}

/// A line must not look like a request.
fn at_start(line: &str) -> String {
    if line.is_empty() || line.starts_with('.') || line.starts_with(' ') {
        format!("\\&{line}")
    } else {
        line.to_owned()
    }
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            char if char.is_ascii() => out.push(char),
            char => out.push_str(&format!("\\[u{:04X}]", char as u32)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_is_a_request() {
        let sections = [Section {
            title: "Examples".into(),
            blocks: vec![
                Block::Verbatim(vec![".so /etc/passwd".into(), "'a' \\n -x".into(), String::new()]),
                Block::Paragraph("`.`µ".into()),
            ],
        }];
        let text = render("tracer-x", &sections);
        assert!(text.contains("\n\\&.so /etc/passwd\n\\(aqa\\(aq \\en \\-x\n\\&\n.fi"), "{text}");
        assert!(text.contains("\n\\fB.\\fR\\[u00B5]\n"), "{text}");
    }
}
