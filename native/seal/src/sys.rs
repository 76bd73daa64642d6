//! The kernel, and memory that is not Rust's: raw system calls, guarded access to the application's memory, the two
//! records that live at fixed addresses (Mailbox, Context).
//!
//! Owns the `unsafe` of all this. Refuses policy: nothing here decides anything.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::abi::{self, Context, Mailbox};
use crate::entry;

pub const READ: u64 = 0;
pub const OPEN: u64 = 2;
pub const CLOSE: u64 = 3;
pub const MMAP: u64 = 9;
pub const MPROTECT: u64 = 10;
pub const MUNMAP: u64 = 11;
pub const RT_SIGACTION: u64 = 13;
pub const RT_SIGPROCMASK: u64 = 14;
pub const SCHED_YIELD: u64 = 24;
pub const GETPID: u64 = 39;
pub const EXIT: u64 = 60;
pub const SIGALTSTACK: u64 = 131;
pub const GETTID: u64 = 186;
pub const TGKILL: u64 = 234;
pub const RSEQ: u64 = 334;

pub const EINTR: i64 = -4;
pub const ENOMEM: i64 = -12;
pub const EFAULT: i64 = -14;
pub const EEXIST: i64 = -17;
pub const EINVAL: i64 = -22;
pub const ESRCH: i64 = -3;

/// Make a system call of the engine's own; answer what the kernel answered.
pub fn call(number: u64, arguments: [u64; 6]) -> i64 {
    let answer: i64;
    // SAFETY: a system call touches what its arguments name; callers name engine memory or what the application named.
    unsafe {
        asm!("syscall", inlateout("rax") number => answer, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], in("r8") arguments[4], in("r9") arguments[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

pub fn call3(number: u64, a: u64, b: u64, c: u64) -> i64 {
    call(number, [a, b, c, 0, 0, 0])
}

/// Copy from the application's memory; answer how many bytes could be read before a fault.
pub fn read_guest(address: u64, into: &mut [u8]) -> usize {
    // SAFETY: `into` is ours; a fault on the application's side ends the copy early (entry::guarded_copy).
    unsafe { entry::guarded_copy(into.as_mut_ptr(), address as *const u8, into.len()) }
}

/// Copy into the application's memory; answer how many bytes could be written before a fault.
pub fn write_guest(address: u64, from: &[u8]) -> usize {
    // SAFETY: the application's memory is what this process may write anyway; a fault ends the copy early.
    unsafe { entry::guarded_copy(address as *mut u8, from.as_ptr(), from.len()) }
}

pub fn read_guest_u64(address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    (read_guest(address, &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
}

pub fn read_guest_u32(address: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    (read_guest(address, &mut bytes) == 4).then(|| u32::from_le_bytes(bytes))
}

pub fn write_guest_u64(address: u64, value: u64) -> bool {
    write_guest(address, &value.to_le_bytes()) == 8
}

/// Read a plain record from the application's memory.
pub fn read_guest_record<T: Plain>(address: u64) -> Option<T> {
    let mut record = T::default();
    // SAFETY: `Plain` says that any bytes are a valid T.
    let bytes = unsafe { core::slice::from_raw_parts_mut((&raw mut record).cast::<u8>(), size_of::<T>()) };
    (read_guest(address, bytes) == bytes.len()).then_some(record)
}

/// Write a plain record into the application's memory.
pub fn write_guest_record<T: Plain>(address: u64, record: &T) -> bool {
    // SAFETY: `Plain` says that T has no padding that matters and may be seen as bytes.
    let bytes = unsafe { core::slice::from_raw_parts((&raw const *record).cast::<u8>(), size_of::<T>()) };
    write_guest(address, bytes) == bytes.len()
}

/// A `repr(C)` record of which any bytes are a value.
///
/// # Safety
/// Implement it for records of integers alone.
pub unsafe trait Plain: Copy + Default {}
// SAFETY: integers alone.
unsafe impl Plain for abi::SigAction {}
// SAFETY: integers alone.
unsafe impl Plain for abi::AltStack {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}

pub static MAILBOX: AtomicU64 = AtomicU64::new(0);

/// Say where the mailbox lies; once, before anything else.
pub fn set_mailbox(address: u64) {
    MAILBOX.store(address, Ordering::Release);
}

/// Return the mailbox. Its fields are written under `PROCESS`, or by the controller while all threads stand still.
#[allow(clippy::mut_from_ref)]
pub fn mailbox() -> &'static mut Mailbox {
    // SAFETY: set_mailbox was given a planted Mailbox, which stays until the engine is unmapped. Shared fields are
    // integers, written under the process lock; the compiler sees no aliasing reference that outlives a statement.
    unsafe { &mut *(MAILBOX.load(Ordering::Acquire) as *mut Mailbox) }
}

pub fn has_mailbox() -> bool {
    MAILBOX.load(Ordering::Acquire) != 0
}

/// Return the context at `address`, which is the start of a slot.
pub fn context(address: u64) -> &'static mut Context {
    // SAFETY: slots are mapped for as long as the engine is, and begin with a Context. A context is used by the thread
    // that it belongs to; others touch `state`, `request` and `tid` alone, or hold its lock.
    unsafe { &mut *(address as *mut Context) }
}

/// Read a number that the controller or another thread may write meanwhile.
pub fn reread(place: &u32) -> u32 {
    // SAFETY: a reference is valid; that it may change meanwhile is why it is read so.
    unsafe { (&raw const *place).read_volatile() }
}

/// Read one of the three tables of a slot.
pub fn table_entry(slot: u64, table: u64, target: u64) -> u64 {
    table_cell(slot, table, target).load(Ordering::Relaxed)
}

/// Write one of the three tables of a slot, which its thread may be reading.
pub fn set_table_entry(slot: u64, table: u64, target: u64, host: u64) {
    table_cell(slot, table, target).store(host, Ordering::Release);
}

fn table_cell(slot: u64, table: u64, target: u64) -> &'static AtomicU64 {
    // SAFETY: a slot holds 65,536 entries at each of SLOT_RETURNS, SLOT_JUMPS and SLOT_FOLLOWED.
    unsafe { &*((slot + table + (target & 0xffff) * 8) as *const AtomicU64) }
}

/// Write a constant that translated code reads by absolute address.
pub fn set_constant(address: u64, value: u64) {
    // SAFETY: callers pass an address inside a slot's constants.
    unsafe { (address as *mut u64).write_volatile(value) };
}

pub fn timestamp() -> u64 {
    // SAFETY: rdtsc reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A lock for a handful of instructions or a page of Rust, without the kernel. Not to be held over a call that blocks.
pub struct Lock(AtomicU32);

impl Lock {
    pub const fn new() -> Lock {
        Lock(AtomicU32::new(0))
    }

    pub fn take(&self) {
        let mut tries = 0u32;
        while self.0.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            tries += 1;
            if tries.is_multiple_of(64) && (!has_mailbox() || mailbox().confined == 0) {
                call(SCHED_YIELD, [0; 6]);
            }
            core::hint::spin_loop();
        }
    }

    pub fn give(&self) {
        self.0.store(0, Ordering::Release);
    }

    pub fn hold(&self) -> Held<'_> {
        self.take();
        Held(self)
    }
}

impl Default for Lock {
    fn default() -> Self {
        Lock::new()
    }
}

pub struct Held<'a>(&'a Lock);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.give();
    }
}

/// A value and the lock that it is used under.
pub struct Locked<T> {
    lock: Lock,
    value: core::cell::UnsafeCell<T>,
}

// SAFETY: the value is reached under the lock, or, by `peek`, while nobody can be changing it.
unsafe impl<T: Send> Sync for Locked<T> {}

impl<T> Locked<T> {
    pub const fn new(value: T) -> Locked<T> {
        Locked { lock: Lock::new(), value: core::cell::UnsafeCell::new(value) }
    }

    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _held = self.lock.hold();
        // SAFETY: under the lock.
        work(unsafe { &mut *self.value.get() })
    }

    /// Use the value without the lock: in a thread that a signal or the controller has stopped outside of `with`.
    pub fn peek<R>(&self, work: impl FnOnce(&T) -> R) -> R {
        // SAFETY: the owner is stopped outside of `with`; others change flags of fragments alone, by single stores.
        work(unsafe { &*self.value.get() })
    }

    pub fn lock(&self) -> &Lock {
        &self.lock
    }
}

/// Return the record that belongs to a context, if it has one.
pub fn service(context: &Context) -> Option<&'static Locked<crate::cache::Thread>> {
    // SAFETY: `service` is 0 or the address of a leaked Locked<Thread>, which stays.
    unsafe { (context.service as *const Locked<crate::cache::Thread>).as_ref() }
}

/// Return what the kernel or the controller has left at `address`, for as long as the caller's handler runs.
pub fn words(address: u64, count: usize) -> &'static mut [u64] {
    // SAFETY: callers pass a signal frame that the kernel has just written, or engine memory.
    unsafe { core::slice::from_raw_parts_mut(address as *mut u64, count) }
}

pub fn octets(address: u64, count: usize) -> &'static mut [u8] {
    // SAFETY: as in `words`.
    unsafe { core::slice::from_raw_parts_mut(address as *mut u8, count) }
}

/// A table of the engine's own, under the lock that its owner has for it.
pub fn halves(address: u64, count: usize) -> &'static mut [u16] {
    // SAFETY: callers pass engine memory, which is mapped for as long as the engine is.
    unsafe { core::slice::from_raw_parts_mut(address as *mut u16, count) }
}

pub fn has_bmi2() -> bool {
    const EBX_BMI2: u32 = 1 << 8;
    core::arch::x86_64::__cpuid_count(7, 0).ebx & EBX_BMI2 != 0
}

/// The application's thread pointer: the engine never changes it.
pub fn fs_base() -> u64 {
    let base: u64;
    // SAFETY: rdfsbase reads; the kernel allows it since 5.9, which the controller has checked.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack)) };
    base
}

/// Set what `gs:` adds to an address.
pub fn set_gs_base(base: u64) {
    // SAFETY: Linux programs of x86-64 do not use gs (the controller has checked), and neither does Rust.
    unsafe { asm!("wrgsbase {}", in(reg) base, options(nomem, nostack)) };
}

/// How many bytes XSAVE needs for all that this processor and kernel offer.
pub fn vector_bytes() -> u64 {
    u64::from(core::arch::x86_64::__cpuid_count(0xd, 0).ebx)
}

/// The features that the kernel has enabled (XCR0).
pub fn vector_features() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: xgetbv reads; the processor has XSAVE, which the controller has checked.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Which register of the x87 unit stands on top.
pub fn x87_top() -> usize {
    let status: u16;
    // SAFETY: reads a register; the engine does not use the unit, so it is as the application has left it.
    unsafe { asm!("fnstsw ax", out("ax") status, options(nomem, nostack)) };
    usize::from(status >> 11 & 7)
}

/// An XSAVE image.
#[repr(C, align(64))]
pub struct VectorImage(pub [u8; 4096]);

/// Store the vector and mask registers as they are.
pub fn store_vectors(into: &mut VectorImage) {
    const SSE_AVX_AND_AVX512: u32 = 0xe6;
    // SAFETY: the image is aligned and large enough for these components, whatever else the processor has behind them.
    unsafe { asm!("xsave64 [{}]", in(reg) into, in("eax") SSE_AVX_AND_AVX512, in("edx") 0, options(nostack)) };
}

/// The value of a mask register as it is. None: the processor has none, or short ones alone.
pub fn mask(number: usize) -> Option<u64> {
    const BYTES_AND_WORDS: u32 = 1 << 30;
    const MASKS: u64 = 1 << 5;
    static HAS: AtomicU64 = AtomicU64::new(0); // 1: no, 2: yes
    if HAS.load(Ordering::Relaxed) == 0 {
        let has = vector_features() & MASKS != 0 && core::arch::x86_64::__cpuid_count(7, 0).ebx & BYTES_AND_WORDS != 0;
        HAS.store(1 + u64::from(has), Ordering::Relaxed);
    }
    if HAS.load(Ordering::Relaxed) == 1 {
        return None;
    }
    let mut value: u64;
    macro_rules! read {
        ($name:literal) => {
            // SAFETY: reads a register; the engine does not use them, so it is as the application has left it.
            unsafe { asm!(concat!("kmovq {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) }
        };
    }
    match number {
        0 => read!("k0"),
        1 => read!("k1"),
        2 => read!("k2"),
        3 => read!("k3"),
        4 => read!("k4"),
        5 => read!("k5"),
        6 => read!("k6"),
        _ => read!("k7"),
    }
    Some(value)
}

/// Where a component of the processor's state lies in an XSAVE image, how large it is, and whether it is aligned to 64 in a compact one.
#[derive(Clone, Copy)]
pub struct Component {
    pub offset: u32,
    pub bytes: u32,
    pub aligned: bool,
}

/// Tell of a component from the third on. Asked of the processor once: where that is a virtual one, it is slow.
pub fn component(number: usize) -> Component {
    const COMPONENTS: usize = 32;
    const KNOWN: u64 = 1 << 63;
    const ALIGNED: u64 = 1 << 62;
    static KEPT: [AtomicU64; COMPONENTS] = [const { AtomicU64::new(0) }; COMPONENTS];
    let kept = &KEPT[number % COMPONENTS];
    if kept.load(Ordering::Relaxed) == 0 {
        let answer = core::arch::x86_64::__cpuid_count(0xd, number as u32);
        let aligned = if answer.ecx & 2 != 0 { ALIGNED } else { 0 };
        kept.store(KNOWN | aligned | u64::from(answer.eax & 0xffff) << 32 | u64::from(answer.ebx), Ordering::Relaxed);
    }
    let kept = kept.load(Ordering::Relaxed);
    Component { offset: kept as u32, bytes: (kept >> 32) as u32 & 0xffff, aligned: kept & ALIGNED != 0 }
}
