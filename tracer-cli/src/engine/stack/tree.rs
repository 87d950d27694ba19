//! Stacks put together: those that begin alike share what they have in common.

use std::{collections::HashMap, io::Write as _, rc::Rc};

use crate::output::escape;

/// A function's name, or that of a program, in whatever bytes it has.
pub type Frame = Rc<[u8]>;

/// A tree of functions, each below the one that called it.
#[derive(Default)]
pub struct Tree {
    /// The first is the root, which is no function.
    nodes: Vec<Node>,
    children: HashMap<(usize, Frame), usize>,
}

struct Node {
    name: Frame,
    children: Vec<usize>,
    /// What it weighs, with all that it called and without.
    total: u64,
    own: u64,
}

impl Node {
    fn new(name: Frame) -> Self {
        Self { name, children: Vec::new(), total: 0, own: 0 }
    }
}

impl Tree {
    /// Adds a stack, the outermost function first.
    pub fn add(&mut self, frames: &[Frame], weight: u64) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(Frame::default()));
        }
        let mut at = 0;
        self.nodes[at].total += weight;
        for frame in frames {
            at = self.child(at, frame);
            self.nodes[at].total += weight;
        }
        self.nodes[at].own += weight;
    }

    fn child(&mut self, parent: usize, name: &Frame) -> usize {
        let key = (parent, Rc::clone(name));
        if let Some(child) = self.children.get(&key) {
            return *child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::new(Rc::clone(name)));
        self.nodes[parent].children.push(child);
        self.children.insert(key, child);
        child
    }

    /// What all stacks weigh.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.nodes.first().map_or(0, |root| root.total)
    }

    /// The heaviest first.
    fn children_of(&self, node: usize) -> Vec<usize> {
        let mut children = self.nodes.get(node).map_or_else(Vec::new, |node| node.children.clone());
        let order = |child: &usize| (std::cmp::Reverse(self.nodes[*child].total), &*self.nodes[*child].name);
        children.sort_by(|a, b| order(a).cmp(&order(b)));
        children
    }

    /// Writes `outer;inner weight` for each stack.
    pub fn fold(&self, out: &mut Vec<u8>) {
        // Deep as a stack may be, the path to a node is a list of our own.
        let mut waiting: Vec<(usize, Vec<u8>)> = vec![(0, Vec::new())];
        while let Some((node, path)) = waiting.pop() {
            if let Some(own) = self.nodes.get(node).map(|node| node.own).filter(|own| *own > 0) {
                out.extend_from_slice(&path);
                // Writing to a Vec cannot fail, here and below.
                let _ = writeln!(out, " {own}");
            }
            for child in self.children_of(node).into_iter().rev() {
                let mut path = path.clone();
                if !path.is_empty() {
                    path.push(b';');
                }
                escape::frame(&mut path, &self.nodes[child].name);
                waiting.push((child, path));
            }
        }
    }

    /// Draws the tree for people: a function a line, deeper ones to the right where paths part.
    pub fn draw(&self, out: &mut Vec<u8>, unit: &str, min_percent: f64) {
        let all = self.total();
        let percent = |weight: u64| weight as f64 * 100.0 / all.max(1) as f64;
        let _ = writeln!(out, "{:>7} {:>7} {:>12}  FUNCTION", "TOTAL%", "SELF%", unit.to_uppercase());
        let mut waiting = vec![(0, 0)];
        while let Some((node, indent)) = waiting.pop() {
            if node > 0 {
                let Node { name, total, own, .. } = &self.nodes[node];
                let _ = write!(
                    out,
                    "{:>7.1} {:>7.1} {total:>12}  {:indent$}",
                    percent(*total),
                    percent(*own),
                    ""
                );
                escape::text(out, name);
                out.push(b'\n');
            }
            let children = self.children_of(node);
            let shown = children.iter().take_while(|child| percent(self.nodes[**child].total) >= min_percent);
            let shown: Vec<usize> = shown.copied().collect();
            let parts = node > 0 && children.len() > 1;
            waiting.extend(shown.into_iter().rev().map(|child| (child, indent + 2 * usize::from(parts))));
        }
        let _ = writeln!(out, "{:>7.1} {:>7} {:>12}  all", 100.0, "", all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(stacks: &[(&str, u64)]) -> Tree {
        let mut tree = Tree::default();
        for (stack, weight) in stacks {
            let frames: Vec<Frame> = stack.split(' ').map(|name| name.as_bytes().into()).collect();
            tree.add(&frames, *weight);
        }
        tree
    }

    const STACKS: [(&str, u64); 4] = [("p main a", 60), ("p main b x", 30), ("p main b y", 7), ("q", 3)];

    #[test]
    fn folded_stacks_are_a_line_each() {
        let mut out = Vec::new();
        tree(&STACKS).fold(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "p;main;a 60\np;main;b;x 30\np;main;b;y 7\nq 3\n");
    }

    #[test]
    fn names_cannot_forge_frames_or_lines() {
        let mut tree = Tree::default();
        tree.add(&[(*b"a;b 9\nc 1\x1b[2J\xff").into()], 1);
        let mut out = Vec::new();
        tree.fold(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a:b 9\\nc 1\\x1b[2J\\xff 1\n");
    }

    #[test]
    fn trees_show_shares() {
        let mut out = Vec::new();
        tree(&STACKS).draw(&mut out, "samples", 5.0);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let expected = [
            " TOTAL%   SELF%      SAMPLES  FUNCTION",
            "   97.0     0.0           97  p",
            "   97.0     0.0           97  main",
            "   60.0    60.0           60    a",
            "   37.0     0.0           37    b",
            "   30.0    30.0           30      x",
            "    7.0     7.0            7      y",
            "  100.0                  100  all",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn no_stacks_are_no_lines() {
        let mut out = Vec::new();
        Tree::default().fold(&mut out);
        assert!(out.is_empty());
        Tree::default().draw(&mut out, "samples", 1.0);
        assert_eq!(out.split(|byte| *byte == b'\n').count(), 3);
    }
}
