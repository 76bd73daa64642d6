//! SEAL: a translator that runs inside the process whose code it translates.
//!
//! Owns everything that happens in a possessed process. Refuses to link against anything: no libc, no thread-local, no
//! symbol that is undefined. How it comes in and goes out is docs/decisions/possession.md; the layout is `abi`.
//!
//! | module | owns |
//! |---|---|
//! | `abi` | what controller and engine share |
//! | `entry` | machine code between application, translated code and Rust |
//! | `start` | services for the controller; first and last steps of a thread |
//! | `dispatch` | what happens between two fragments |
//! | `translate`, `plan`, `lower`, `transfer`, `shadow`, `emit` | from instructions to a fragment |
//! | `cache`, `index` | arenas, fragments, links, tables |
//! | `tables` | jumps by tables that nobody writes |
//! | `track`, `reckon`, `lanes`, `flow`, `tags` | what an instruction does to tags: in translated code, and in general; where tags are |
//! | `sinks`, `alerts` | where tags must not come to, and what happens when they do |
//! | `recover` | from a host address back to the application's state |
//! | `calls`, `pieces`, `threads` | system calls, those that are made in parts, threads and children |
//! | `effects`, `written`, `extent` | what system calls do to tags: what they write, where memory comes and goes |
//! | `sources`, `descriptors` | what comes in from outside: by which label, and as it was; what a descriptor leads to |
//! | `signals`, `frames`, `dispositions` | a signal comes, its frame, what the application wants of it |
//! | `pages`, `window` | code that changes; who has his tags where |
//! | `sys`, `heap` | kernel, foreign memory, locks; the allocator |
//!
//! `unsafe` stands in `emit`, `entry`, `sys` and `heap` alone.
#![cfg_attr(feature = "image", no_std)]
#![deny(unsafe_op_in_unsafe_fn)]

extern crate alloc;

pub mod abi;
pub mod alerts;
pub mod cache;
pub mod calls;
pub mod descriptors;
pub mod dispatch;
pub mod dispositions;
pub mod effects;
pub mod emit;
pub mod entry;
pub mod extent;
pub mod flow;
pub mod frames;
pub mod heap;
pub mod index;
pub mod lanes;
pub mod lower;
pub mod pages;
pub mod pieces;
pub mod plan;
pub mod reckon;
pub mod recover;
pub mod shadow;
pub mod signals;
pub mod sinks;
pub mod sources;
pub mod start;
pub mod sys;
pub mod tables;
pub mod tags;
pub mod threads;
pub mod track;
pub mod transfer;
pub mod translate;
pub mod window;
pub mod written;
