//! How memory that was freed is kept for what comes next.
//!
//! On the processor every operation makes a tensor and frees another. glibc hands blocks of more than some megabytes back to the
//! system at once, and gets them back as pages that the kernel has to clear one by one: a fifth of a run's time.

/// Blocks below this many bytes are taken from the heap, where they can be used again. A tensor rarely is larger.
const LARGEST_KEPT: libc::c_int = 1 << 30;
/// So many free bytes may lie at the end of the heap before they are handed back. Half of it leaves half of the gain behind, twice
/// as much costs a fifth of memory more for nothing (docs/performance.md).
const FREE_AT_THE_END: libc::c_int = 256 << 20;

/// Lets the allocator keep pages that were freed, unless the environment says otherwise (`MALLOC_TRIM_THRESHOLD_`,
/// `MALLOC_MMAP_THRESHOLD_`).
pub(crate) fn keep_pages() {
    for (name, option, value) in [
        ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, LARGEST_KEPT),
        ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, FREE_AT_THE_END),
    ] {
        if std::env::var_os(name).is_none() {
            // SAFETY: `mallopt` takes two numbers, and locks the allocator itself. Where it refuses a value nothing changes.
            let _ = unsafe { libc::mallopt(option, value) };
        }
    }
}
