//! What is known and accepted of the matrix. Everything else fails a run, so that green hides
//! no missing test.

/// A test that a kernel cannot run.
#[derive(Debug)]
pub struct Skip {
    pub kernel: &'static str,
    pub test: &'static str,
    #[expect(dead_code, reason = "for those who read this list")]
    pub reason: &'static str,
}

/// A line of the kernel's log that looks bad and is not.
#[derive(Debug)]
pub struct Allowed {
    pub text: &'static str,
    #[expect(dead_code, reason = "for those who read this list")]
    pub reason: &'static str,
}

pub const SKIPS: &[Skip] = &[];

pub const DMESG: &[Allowed] = &[];
