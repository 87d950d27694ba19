//! The engines that tools only parameterise: one session, and a loop for each shape.

pub mod block;
pub mod child;
pub mod common;
#[cfg(feature = "debug-log")]
pub mod debug_log;
pub mod dist;
pub mod file_io;
pub mod filter;
pub mod interval;
pub mod judge;
pub mod latencies;
pub mod net;
pub mod numbers;
pub mod off_cpu;
pub mod origin;
pub mod plan;
pub mod ready;
pub mod rows;
pub mod session;
pub mod signals;
pub mod snoop;
pub mod sort;
pub mod spans;
pub mod stack;
pub mod task_dist;
pub mod top;
pub mod view;

pub use plan::Plan;
pub use rows::Rows;
