//! Kernel pointers whose fields are found at load time.
//!
//! rustc emits no CO-RE relocations, so every field's offset is a global in `.rodata`, named after
//! the struct and the field, which the loader fills in from the running kernel's BTF. The verifier
//! knows the value of frozen `.rodata`: a missing field ([`MISSING`]) makes its branch vanish.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

/// The offset of a field this kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// A pointer to a kernel's `T`.
///
/// With `DIRECT`, the verifier knows the pointer's type (an argument of a BTF tracepoint or fentry
/// program, or what was loaded from one), and fields are read by plain loads; a fault reads zero.
/// Otherwise `bpf_probe_read_kernel` reads them. Either way a field that is missing or can't be
/// read is zero, or null.
#[repr(transparent)]
pub struct Ptr<T, const DIRECT: bool>(*const T);

impl<T, const DIRECT: bool> Clone for Ptr<T, DIRECT> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const DIRECT: bool> Copy for Ptr<T, DIRECT> {}

impl<T, const DIRECT: bool> Ptr<T, DIRECT> {
    #[inline(always)]
    pub const fn new(address: *const T) -> Self {
        Self(address)
    }

    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The address, as a map key.
    #[inline(always)]
    pub fn addr(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub const fn as_ptr(self) -> *const T {
        self.0
    }

    /// The same pointer, read by helper: for what the verifier's type does not allow.
    #[inline(always)]
    pub const fn by_helper(self) -> Ptr<T, false> {
        Ptr(self.0)
    }

    /// The same address as a pointer to another struct, e.g. a `tcp_sock` that begins with a `sock`.
    #[inline(always)]
    pub const fn cast<U>(self) -> Ptr<U, false> {
        Ptr(self.0.cast())
    }

    /// The element `index` of the array of `T` this points to; `size` is `T`'s in this kernel.
    #[inline(always)]
    pub fn nth(self, index: u64, size: u32) -> Ptr<T, false> {
        Ptr((self.0 as u64 + index * u64::from(size)) as *const T)
    }
}

impl<T: Copy> Ptr<T, false> {
    /// The value pointed to; zero if it can't be read.
    #[inline(always)]
    pub fn read(self) -> T {
        read_kernel(self.0)
    }
}

/// Marks a field that is itself a struct: the accessor gives its address.
pub struct In<T>(core::marker::PhantomData<T>);

/// How a field's type is read.
pub trait Field<const DIRECT: bool> {
    type Value;
    /// The size the kernel's field must have; 0 where it doesn't matter.
    const SIZE: u32;
    /// Reads the field at `address`, or gives the zero value if `present` is false.
    fn get(address: *const u8, present: bool) -> Self::Value;
}

/// Reads a `T` of kernel memory; all zeroes if that fails. Without a branch, which the verifier
/// would have to follow both ways.
#[inline(always)]
pub fn read_kernel<T: Copy>(address: *const T) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and fills the value with zeroes where it can't read:
    // only integers, arrays of them and raw pointers are read, for which those are valid.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address.cast());
        value.assume_init()
    }
}

macro_rules! scalar_fields {
    ($($scalar:ty),*) => {$(
        impl<const DIRECT: bool> Field<DIRECT> for $scalar {
            type Value = $scalar;
            const SIZE: u32 = size_of::<$scalar>() as u32;

            #[inline(always)]
            fn get(address: *const u8, present: bool) -> $scalar {
                if !present {
                    0
                } else if DIRECT {
                    // SAFETY: the verifier has checked the pointer's type; the kernel handles
                    // faults of such loads and gives zero.
                    unsafe { address.cast::<$scalar>().read_volatile() }
                } else {
                    read_kernel(address.cast())
                }
            }
        }
    )*};
}

scalar_fields!(u8, u16, u32, u64, i32, i64);

impl<const DIRECT: bool, const N: usize> Field<DIRECT> for [u8; N] {
    type Value = [u8; N];
    const SIZE: u32 = N as u32;

    #[inline(always)]
    fn get(address: *const u8, present: bool) -> [u8; N] {
        if present { read_kernel(address.cast()) } else { [0; N] }
    }
}

impl<T, const DIRECT: bool> Field<DIRECT> for *const T {
    type Value = Ptr<T, DIRECT>;
    const SIZE: u32 = size_of::<*const T>() as u32;

    #[inline(always)]
    fn get(address: *const u8, present: bool) -> Ptr<T, DIRECT> {
        if !present {
            return Ptr(core::ptr::null());
        }
        if DIRECT {
            // SAFETY: as for scalars; what is loaded has a type the verifier knows.
            Ptr(unsafe { address.cast::<*const T>().read_volatile() })
        } else {
            Ptr(read_kernel(address.cast::<*const T>()))
        }
    }
}

impl<T, const DIRECT: bool> Field<DIRECT> for In<T> {
    type Value = Ptr<T, DIRECT>;
    const SIZE: u32 = 0;

    #[inline(always)]
    fn get(address: *const u8, present: bool) -> Ptr<T, DIRECT> {
        Ptr(if present { address.cast() } else { core::ptr::null() })
    }
}

/// Declares kernel structs and the fields that tracer reads, each with an accessor on [`Ptr`].
///
/// `name: type = member.member;` reads the member at that path, looked for in anonymous members
/// too. Types: integers, byte arrays, `*const other_struct`, `In<other_struct>` for an embedded one.
/// For each there is also `has_name()`.
#[macro_export]
macro_rules! kernel_structs {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $first:ident $(.$rest:ident)*;)* })*) => {
        ::pastey::paste! {$(
            $(#[$doc])*
            #[allow(non_camel_case_types, reason = "the kernel's name")]
            pub struct $name {
                _opaque: [u8; 0],
            }

            $(
                // Before loading: the size that the field must have.
                #[unsafe(no_mangle)]
                #[allow(non_upper_case_globals, reason = "struct and field are named as in the kernel")]
                static [<BTF_ $name __ $first $(__ $rest)*>]: ::aya_ebpf::Global<u32> =
                    ::aya_ebpf::Global::new(<$type as $crate::ptr::Field<false>>::SIZE);
            )*

            impl<const DIRECT: bool> $crate::ptr::Ptr<$name, DIRECT> {$(
                #[inline(always)]
                pub fn $field(self) -> <$type as $crate::ptr::Field<DIRECT>>::Value {
                    let offset = [<BTF_ $name __ $first $(__ $rest)*>].load();
                    let address = self.as_ptr().cast::<u8>().wrapping_add(offset as usize);
                    <$type as $crate::ptr::Field<DIRECT>>::get(address, offset != $crate::ptr::MISSING)
                }

                #[inline(always)]
                pub fn [<has_ $field>](self) -> bool {
                    [<BTF_ $name __ $first $(__ $rest)*>].load() != $crate::ptr::MISSING
                }
            )*}
        )*}
    };
}
