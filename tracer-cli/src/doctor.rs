//! `tracer doctor`: what this kernel and these privileges allow.

pub fn run(_json: bool) -> anyhow::Result<u8> {
    Ok(0)
}
