//! What kind of request a block request is, in numbers that no kernel changes.

/// Gives `$with!` the operations (`REQ_OP_*`) and flags (`__REQ_*`) that are told apart, each by
/// the kernel's name and the one that is shown.
#[macro_export]
macro_rules! request_kinds {
    ($with:ident) => {
        $with! {
            operations:
                READ "Read", WRITE "Write", FLUSH "Flush", DISCARD "Discard", SECURE_ERASE "SecureErase",
                WRITE_SAME "WriteSame", WRITE_ZEROES "WriteZeroes", ZONE_APPEND "ZoneAppend",
                ZONE_OPEN "ZoneOpen", ZONE_CLOSE "ZoneClose", ZONE_FINISH "ZoneFinish",
                ZONE_RESET "ZoneReset", ZONE_RESET_ALL "ZoneResetAll", SCSI_IN "SCSIIn",
                SCSI_OUT "SCSIOut", DRV_IN "DrvIn", DRV_OUT "DrvOut";
            flags:
                NOWAIT "NoWait", BACKGROUND "Background", RAHEAD "ReadAhead", PREFLUSH "PreFlush",
                FUA "FUA", INTEGRITY "Integrity", IDLE "Idle", NOMERGE "NoMerge", PRIO "Priority",
                META "Metadata", SYNC "Sync"
        }
    };
}

macro_rules! names {
    (operations: $($_operation:ident $operation:literal),*; flags: $($_flag:ident $flag:literal),*) => {
        /// Operations; their codes in a kind are the positions here plus one, 0 is any other.
        pub const OPERATIONS: &[&str] = &[$($operation),*];
        /// Flags, in the order they are shown; their bits in a kind are [`FLAGS_FROM`] onwards.
        pub const FLAGS: &[&str] = &[$($flag),*];
    };
}
request_kinds!(names);

/// The codes of two of them.
pub const READ: u64 = 1;
pub const WRITE: u64 = 2;

/// The code of the operation in a kind.
#[inline(always)]
#[must_use]
pub const fn operation(kind: u64) -> u64 {
    kind & ((1 << FLAGS_FROM) - 1)
}

/// The first bit of the flags in a kind; below is the operation's code.
pub const FLAGS_FROM: u32 = 8;

const _: () = assert!(OPERATIONS.len() < 1 << FLAGS_FROM);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positions_plus_one() {
        assert_eq!(OPERATIONS[READ as usize - 1], "Read");
        assert_eq!(OPERATIONS[WRITE as usize - 1], "Write");
    }
}
