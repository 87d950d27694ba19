//! What is known and accepted of the matrix. Everything else fails a run, so that green hides
//! no missing test.

/// A test that a kernel cannot run.
#[derive(Debug)]
pub struct Skip {
    /// Its series, or [`ANY`].
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

/// Of what no VM has, whatever its kernel.
pub const ANY: &str = "any";

pub const SKIPS: &[Skip] = &[
    Skip { kernel: ANY, test: "profile::draws_what_others_can_show", reason: "a VM has no rsvg-convert" },
    Skip {
        kernel: ANY,
        test: "cli::programs::go_functions_have_names",
        reason: "Go's compiler may be missing",
    },
    Skip { kernel: ANY, test: "cli::programs::compiled_scripts_have_names", reason: "a VM has no node" },
    Skip { kernel: ANY, test: "cli::programs::etcd_tells_what_it_does", reason: "a VM has no etcd" },
];

pub const DMESG: &[Allowed] = &[];
