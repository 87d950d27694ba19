//! Stands in for flame graphs where tracer is built without them.

use super::tree::Tree;

#[derive(clap::Args, Clone, Debug)]
pub struct FlameFlags {}

pub struct FlameGraph {
    pub stacks: Tree,
}

#[expect(dead_code, reason = "as where there are flame graphs")]
pub struct About {
    pub title: String,
    pub subtitle: String,
    pub unit: &'static str,
}

impl FlameGraph {
    #[expect(clippy::unnecessary_wraps, reason = "as where there are flame graphs")]
    pub fn new(_: &FlameFlags) -> anyhow::Result<Option<Self>> {
        Ok(None)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as where there are flame graphs")]
    pub fn draw(self, _: About) -> anyhow::Result<()> {
        Ok(())
    }
}
