//! hardirqs's key.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of a handler's name with its NUL; `mlx5_comp127@pci:0000:ff:00.0` is a long one.
pub const NAME_LEN: usize = 44;

/// A handler: several can share an interrupt.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Handler {
    pub irq: u32,
    /// Padded with NULs.
    pub name: [u8; NAME_LEN],
}

const _: () = assert!(size_of::<Handler>() == 48);
