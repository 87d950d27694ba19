//! The binary; all it does is in the library, which fuzz targets use too.

use std::process::ExitCode;

fn main() -> ExitCode {
    tracer_cli::main(std::env::args_os().collect())
}
