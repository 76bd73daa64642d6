//! Prints what `abi.rs` says as JSON, for the controller: constants, and each record's size and its fields' offsets and
//! sizes.

use core::mem::{offset_of, size_of};
use seal::abi::*;

macro_rules! record {
    ($name:ident: $($field:ident)*) => {
        format!("\"{}\": {{\"bytes\": {}, \"fields\": {{{}}}}}", stringify!($name), size_of::<$name>(),
            [$(format!("\"{}\": [{}, {}]", stringify!($field), offset_of!($name, $field), size_of_field(|r: &$name| &r.$field))),*]
                .join(", "))
    };
}

macro_rules! constants {
    ($($path:path),* $(,)?) => {
        [$(format!("\"{}\": {}", stringify!($path).replace(" ", ""), $path)),*].join(", ")
    };
}

fn size_of_field<R, F>(_: fn(&R) -> &F) -> usize {
    size_of::<F>()
}

fn main() {
    let records = [
        record!(Context: regs rip rflags target resume spare exit tid state request mask altstack rseq_address rseq_bytes
            rseq_signature hold pending_signal pending_mask call_number moved cut service enter actions vectors_in_context xmm fragments
            instructions cache_bytes dispatches flushes calls signals tagged_reads tracked tracking is_warm followed_left
            mask_tags x87_tags tags vector_tags),
        record!(Mailbox: magic version mode pid awake low low_bytes heap heap_bytes heap_bytes_max shadow_offset parent trouble
            mapping_count snapshot_count confined park blind code_count unlinked heap_used heap_room frozen_ns possessed_at_ns note slots actions mappings 
            code snapshots sources on_alert patience_ms store_alerts file_count alerts_missed alert_count stream_count input files
            formats format_count streams alerts),
        record!(SigAction: handler flags restorer mask),
        record!(AltStack: sp flags bytes),
        record!(Mapping: address bytes kind),
        record!(Code: low high protection shared),
        record!(Snapshot: tid status regs),
        record!(Stream: serial received inode descriptor kind local peer),
        record!(File: device inode),
        record!(Format: address register),
        record!(Alert: serial kind tid state verdict pc target place tags rflags at_ns regs register_tags),
    ];
    let constants = constants!(
        MAGIC,
        VERSION,
        THREADS_MAX,
        MAPPINGS_MAX,
        CODE_MAX,
        SERVICE_STACK_BYTES,
        HEAP_BYTES,
        HEAP_BYTES_MAX,
        HEAP_BYTES_MIN,
        HEAP_THREAD_BYTES_MIN,
        SLOT_BYTES,
        SLOT_STACK_TOP,
        mode::NONE,
        mode::SHADOW,
        mode::TAINT,
        source::INET,
        source::UNIX,
        source::STDIN,
        source::FILE,
        alert::RETURN,
        alert::JUMP,
        alert::CALL,
        alert::CODE,
        alert::EXECUTE,
        alert::CALL_NUMBER,
        alert::RIGHTS,
        alert::FORMAT,
        alert::STORE,
        verdict::NONE,
        verdict::OBSERVE,
        verdict::CONTAIN,
        verdict::KILL,
        state::FREE,
        state::PREPARED,
        state::RUNNING,
        state::PARKED,
        state::LEFT,
        request::NOTHING,
        request::PARK,
        recovered::EXACT,
        recovered::BUSY,
        recovered::NATIVE,
        recovered::PIECES,
        mapping::LOW,
        mapping::SLOT,
        mapping::ARENA,
        mapping::SHADOW,
        mapping::INPUT,
        mapping::HEAP,
        SHADOW_ASIDE,
        LABELS,
        INPUT_BYTES,
        ALERTS_MAX,
        FILES_MAX,
        FORMATS_MAX,
        trouble::NONE,
        trouble::NO_MEMORY,
        trouble::THREADS,
        trouble::FAR_TRANSFER,
        trouble::PANIC,
    );
    println!("{{\"constants\": {{{constants}}},\n \"records\": {{\n  {}}}}}", records.join(",\n  "));
}
