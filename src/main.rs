//! Parses, runs, sets the exit status.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_long};
use std::process::ExitCode;

/// Sessions are many small allocations: the system's allocator takes three times as long.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    #[expect(unsafe_code, reason = "an option of the allocator is set in C")]
    // SAFETY: no other thread runs yet, and whatever number an option has may be set.
    unsafe {
        mi_option_set(PURGE_DELAY, 10);
    }
    ExitCode::from(vpnscope::cli::run())
}

/// After how many milliseconds memory that is free goes back to the system: with the thousand that
/// are usual, what was in use once is held beside what is in use now (98 MB instead of 110 on short
/// frames), and it costs no time. Its place in `mi_option_t` (mimalloc.h, versions 2 and 3).
const PURGE_DELAY: c_int = 15;

#[expect(
    unsafe_code,
    reason = "declared here: its crate does so only with one crate more"
)]
unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

/// mimalloc, asked for what is needed: its own crate asks for an alignment each time, which is
/// looked for on a slow way that also makes blocks larger.
#[derive(Debug)]
struct Allocator;

/// What every block is aligned to that is at least as large.
const ALIGNED: usize = 16;

/// Whether a block is aligned well enough without asking for it.
#[inline]
const fn is_plain(layout: Layout) -> bool {
    layout.align() <= ALIGNED && layout.align() <= layout.size()
}

#[expect(unsafe_code, reason = "an allocator cannot be given otherwise")]
// SAFETY: every call goes to the functions of one allocator, which is that of the whole process,
// and blocks are as large and as aligned as asked for: mimalloc aligns those of at least 16
// octets to 16, and smaller ones to their size rounded down to a power of two.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout) {
            // SAFETY: any size may be asked for.
            unsafe { libmimalloc_sys::mi_malloc(layout.size()).cast() }
        } else {
            // SAFETY: a layout's alignment is a power of two.
            unsafe { libmimalloc_sys::mi_malloc_aligned(layout.size(), layout.align()).cast() }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_plain(layout) {
            // SAFETY: as above.
            unsafe { libmimalloc_sys::mi_zalloc(layout.size()).cast() }
        } else {
            // SAFETY: as above.
            unsafe { libmimalloc_sys::mi_zalloc_aligned(layout.size(), layout.align()).cast() }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller gives back what one of these functions gave.
        unsafe { libmimalloc_sys::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_plain(layout) && layout.align() <= size {
            // SAFETY: the block is one of ours; any size may be asked for.
            unsafe { libmimalloc_sys::mi_realloc(block.cast(), size).cast() }
        } else {
            // SAFETY: as above, and a layout's alignment is a power of two.
            unsafe {
                libmimalloc_sys::mi_realloc_aligned(block.cast(), size, layout.align()).cast()
            }
        }
    }
}
