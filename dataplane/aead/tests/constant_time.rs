//! No branch and no address depends on a secret, on any kernel of this processor.
//!
//! The processor is made to stop behind every instruction, and it is noted where each stands and which addresses it
//! touches; once for each of a few secrets of the same lengths. Secrets whose notes differ are told apart by whoever watches
//! the caches or the clock. This is done on the processor itself, for no emulator at hand knows AVX-512.

mod packets;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod single_step {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::arch::asm;
    use std::arch::x86_64::{
        __cpuid_count, _mm256_cvtsi256_si32, _mm256_i32gather_epi32, _mm256_set_epi32, _mm512_cvtsi512_si32,
        _mm512_i32gather_epi32, _mm512_set_epi32,
    };
    use std::cell::UnsafeCell;
    use std::collections::HashMap;
    use std::fmt::Write as _;
    use std::hint::black_box;
    use std::ops::Range;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};

    use bordergate_aead::{AesKey, AssociatedData, Buffers, Integrity, Kernel, Key, Open, Seal, Suite};
    use iced_x86::{
        Decoder, DecoderOptions, Formatter, Instruction, InstructionInfoFactory, IntelFormatter, Mnemonic, OpKind,
        Register, UsedMemory,
    };
    use nix::libc;
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    use crate::packets::{fitting_tail, keys, noise, nonce, tail};

    /// Bytes of the packets of a batch, short of their tails: four that end in a block of their own, then in whole vectors, in parts
    /// of them, in less than a block; behind them [`ALIKE`].
    const LENGTHS: [usize; UNLIKE + 2 * OF_ONE_KEY] = {
        let mut lengths = [0; UNLIKE + 2 * OF_ONE_KEY];
        let mut position = 0;
        while position < lengths.len() {
            lengths[position] = match position.checked_sub(UNLIKE) {
                Some(position) => ALIKE[position % OF_ONE_KEY / 8],
                None => [258, 322, 258, 450, 0, 1, 20, 64, 100, 333][position],
            };
            position += 1;
        }
        lengths
    };
    /// Packets that are not alike, of which every second one is worked on in place.
    const UNLIKE: usize = 10;
    /// Of packets that are alike, eight of each length: one whole vector, two and a block, seven.
    const ALIKE: [usize; 3] = [62, 130, 400];
    /// So many of them are under one key, and as many under two by turns.
    const OF_ONE_KEY: usize = 8 * ALIKE.len();
    /// Which packets are forged when they are opened, a bit each. Whether one is, is no secret.
    const FORGED: u64 = 0x0084_0204_0841_0962;
    /// How many secrets are told apart at most.
    const SECRETS: usize = 3;

    /// What is done while it is watched.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Work {
        Expand,
        Seal,
        /// Some of them are forged, in another bit for every secret.
        Open,
        /// Has to be caught: a branch on a secret.
        LeakyBranch,
        /// Has to be caught: an index that is secret.
        LeakyIndex,
        /// Has to be caught: an index that is secret in the last place of a vector of 256 bits.
        LeakyGather256,
        /// The same of 512 bits.
        LeakyGather512,
        /// Has to be caught: a division, whose time depends on its operands.
        LeakyDivision,
    }

    /// What may differ from one trace to the next, and nothing else may.
    struct Secret {
        key: Vec<u8>,
        /// Each with its tail.
        texts: Vec<Vec<u8>>,
        /// What arrives of them.
        packets: Vec<Vec<u8>>,
    }

    /// Where secrets stand while work is done: at the same addresses for each of them.
    struct Room {
        key: Vec<u8>,
        sources: Vec<Vec<u8>>,
        destinations: Vec<Vec<u8>>,
    }

    /// An instruction that was executed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Step {
        at: u64,
        /// A hash of the addresses it touched.
        touched: u64,
    }

    impl Secret {
        fn new(suite: Suite, kernel: Kernel, number: usize) -> Self {
            let secret = |seed: usize, length: usize| match number {
                0 => vec![0; length],
                _ => noise((100 * number + seed) as u64, length),
            };
            let key = secret(0, suite.key_length());
            let texts: Vec<Vec<u8>> =
                LENGTHS.iter().enumerate().map(|(i, length)| secret(i + 1, whole_length(suite, *length))).collect();
            let mut packets: Vec<Vec<u8>> = texts.iter().map(|text| vec![0; text.len() + suite.tag_length()]).collect();
            let expanded = Key::for_kernel(kernel, suite, &key).unwrap();
            for ((text, packet), length) in texts.iter().zip(&mut packets).zip(LENGTHS) {
                bordergate_aead::seal(&mut [Seal {
                    key: &expanded,
                    nonce: nonce(suite, &[5; 16]),
                    associated_data: AssociatedData::extended([7; 12]),
                    buffers: Buffers::Apart { source: &text[..length], destination: packet },
                    tail: tail(&text[length..]),
                }]);
            }
            for (position, (packet, text)) in packets.iter_mut().zip(&texts).enumerate() {
                if FORGED & 1 << position != 0 {
                    let tag = &mut packet[text.len()..];
                    let bit = (3 + 29 * number) % (tag.len() * 8);
                    tag[bit / 8] ^= 1 << (bit % 8);
                }
            }
            Self { key, texts, packets }
        }
    }

    fn whole_length(suite: Suite, length: usize) -> usize {
        length + fitting_tail(suite, length, 2)
    }

    /// Which of two keys, which are the same but in their places, the packet at this position of a batch is under.
    fn key_of(position: usize) -> usize {
        if position < UNLIKE + OF_ONE_KEY { 0 } else { position % 2 }
    }

    /// Whether the packet at this position of a batch is.
    fn is_in_place(position: usize) -> bool {
        position < UNLIKE && !position.is_multiple_of(2)
    }

    impl Room {
        fn new(suite: Suite) -> Self {
            let sealed = |length: usize| vec![0; whole_length(suite, length) + suite.tag_length()];
            Self {
                key: vec![0; suite.key_length()],
                sources: LENGTHS.iter().map(|length| sealed(*length)).collect(),
                destinations: LENGTHS.iter().map(|length| sealed(*length)).collect(),
            }
        }
    }

    /// Where the work's memory is: at the same addresses for each secret, and not the process's, for that is given out to the notes
    /// in the middle of work.
    struct Shelf {
        /// Whether it is the work that asks for memory.
        is_open: AtomicBool,
        taken: AtomicUsize,
        bytes: UnsafeCell<[u8; SHELF]>,
    }

    /// Bytes for two keys and more.
    const SHELF: usize = 1 << 16;

    #[global_allocator]
    static SHELF_OF_WORK: Shelf =
        Shelf { is_open: AtomicBool::new(false), taken: AtomicUsize::new(0), bytes: UnsafeCell::new([0; SHELF]) };

    // SAFETY: no byte is given out twice while the shelf is open, and only this thread opens it.
    unsafe impl Sync for Shelf {}

    // SAFETY: what is given out is the system's, or a part of the shelf that nobody else has: it is taken anew for each work alone.
    unsafe impl GlobalAlloc for Shelf {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if !self.is_open.load(Relaxed) {
                // SAFETY: the caller's.
                return unsafe { System.alloc(layout) };
            }
            let shelf = self.bytes.get().cast::<u8>();
            let taken = self.taken.load(Relaxed);
            let start = (shelf.addr() + taken).next_multiple_of(layout.align()) - shelf.addr();
            self.taken.store(start + layout.size(), Relaxed);
            if start + layout.size() > SHELF { std::ptr::null_mut() } else { shelf.wrapping_add(start) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            let shelf = self.bytes.get().addr();
            if !(shelf..shelf + SHELF).contains(&place.addr()) {
                // SAFETY: the caller's; it is not of the shelf.
                unsafe { System.dealloc(place, layout) };
            }
        }
    }

    /// Does the work, watched, with memory from the shelf.
    fn act(work: Work, suite: Suite, kernel: Kernel, secret: &Secret, room: &mut Room, watch: &mut Watch) {
        SHELF_OF_WORK.taken.store(0, Relaxed);
        SHELF_OF_WORK.is_open.store(true, Relaxed);
        act_on_shelf(work, suite, kernel, secret, room, watch);
        SHELF_OF_WORK.is_open.store(false, Relaxed);
    }

    #[inline(never)]
    fn act_on_shelf(work: Work, suite: Suite, kernel: Kernel, secret: &Secret, room: &mut Room, watch: &mut Watch) {
        room.key.copy_from_slice(&secret.key);
        let nonce = nonce(suite, &[5; 16]);
        let associated_data = AssociatedData::extended([7; 12]);
        let mut rooms = room.sources.iter_mut().zip(&mut room.destinations);
        let which = packets_of(suite, kernel);
        match work {
            Work::Expand => {
                let key = watch.over(|| Key::for_kernel(kernel, suite, black_box(&room.key)));
                black_box(&key);
            }
            Work::Seal => {
                let keys = [(); 2].map(|()| Key::for_kernel(kernel, suite, &room.key).unwrap());
                let mut batch: [Seal<'_>; LENGTHS.len()] = std::array::from_fn(|i| {
                    let (text, length) = (&secret.texts[i], LENGTHS[i]);
                    let (source, destination) = rooms.next().unwrap();
                    let tail = tail(&text[length..]);
                    source[..length].copy_from_slice(&text[..length]);
                    destination[..length].copy_from_slice(&text[..length]);
                    let buffers = match is_in_place(i) {
                        false => Buffers::Apart { source: &source[..length], destination },
                        true => Buffers::InPlace(destination),
                    };
                    Seal { key: &keys[key_of(i)], nonce, associated_data, buffers, tail }
                });
                watch.over(|| bordergate_aead::seal(black_box(&mut batch[which])));
            }
            Work::Open => {
                let keys = [(); 2].map(|()| Key::for_kernel(kernel, suite, &room.key).unwrap());
                let mut batch: [Open<'_>; LENGTHS.len()] = std::array::from_fn(|i| {
                    let packet = &secret.packets[i];
                    let (source, destination) = rooms.next().unwrap();
                    source.copy_from_slice(packet);
                    destination.copy_from_slice(packet);
                    let text = packet.len() - suite.tag_length();
                    let buffers = match is_in_place(i) {
                        false => Buffers::Apart { source, destination: &mut destination[..text] },
                        true => Buffers::InPlace(destination),
                    };
                    Open { key: &keys[key_of(i)], nonce, associated_data, buffers, authentic: false }
                });
                watch.over(|| bordergate_aead::open(black_box(&mut batch[which.clone()])));
                for (position, packet) in batch.iter().enumerate().filter(|(position, _)| which.contains(position)) {
                    assert_eq!(
                        packet.authentic,
                        FORGED & 1 << position == 0,
                        "packet {position} of {suite} on {kernel}"
                    );
                }
            }
            Work::LeakyBranch => {
                black_box(watch.over(|| leaky_branch(black_box(&room.key))));
            }
            Work::LeakyIndex => {
                black_box(watch.over(|| leaky_index(black_box(&room.key))));
            }
            Work::LeakyGather256 => {
                // SAFETY: the processor has AVX2, or this work is not asked for.
                black_box(watch.over(|| unsafe { leaky_gather_256(black_box(&room.key)) }));
            }
            Work::LeakyGather512 => {
                // SAFETY: the processor has AVX-512, or this work is not asked for.
                black_box(watch.over(|| unsafe { leaky_gather_512(black_box(&room.key)) }));
            }
            Work::LeakyDivision => {
                black_box(watch.over(|| 1_000_003 / (1 + u64::from(black_box(room.key[0])))));
            }
        }
    }

    /// Compares as `==` on slices does: it stops where the difference is.
    #[inline(never)]
    fn leaky_branch(key: &[u8]) -> bool {
        key.iter().all(|byte| black_box(*byte) == 0)
    }

    /// Looks up a table, as portable code of AES used to.
    #[inline(never)]
    fn leaky_index(key: &[u8]) -> u8 {
        static TABLE: [u8; 256] = [1; 256];
        black_box(&TABLE)[usize::from(key[0])]
    }

    static WORDS: [i32; 256] = [1; 256];

    /// # Safety
    /// Wants AVX2.
    #[target_feature(enable = "avx2")]
    #[inline(never)]
    unsafe fn leaky_gather_256(key: &[u8]) -> i32 {
        let places = _mm256_set_epi32(i32::from(key[0]), 0, 0, 0, 0, 0, 0, 0);
        // SAFETY: a byte is no place outside of the table.
        let words = unsafe { _mm256_i32gather_epi32::<4>(black_box(&WORDS).as_ptr(), black_box(places)) };
        _mm256_cvtsi256_si32(words)
    }

    /// # Safety
    /// Wants AVX-512F.
    #[target_feature(enable = "avx512f")]
    #[inline(never)]
    unsafe fn leaky_gather_512(key: &[u8]) -> i32 {
        let places = _mm512_set_epi32(i32::from(key[0]), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        // SAFETY: a byte is no place outside of the table.
        let words = unsafe { _mm512_i32gather_epi32::<4>(black_box(places), black_box(&WORDS).as_ptr()) };
        _mm512_cvtsi512_si32(words)
    }

    /// Notes what this thread executes.
    struct Watch {
        /// Each instruction decoded once, with the memory it touches.
        instructions: HashMap<u64, (Instruction, Vec<UsedMemory>)>,
        factory: InstructionInfoFactory,
        steps: Vec<Step>,
    }

    /// The watch whose turn it is, for [`stopped`], to which nothing can be handed over.
    static WATCH: AtomicPtr<Watch> = AtomicPtr::new(std::ptr::null_mut());

    /// The flag that stops the processor behind every instruction.
    const TRAP_FLAG: u64 = 0x100;

    impl Watch {
        fn new() -> Self {
            let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
            let action = SigAction::new(SigHandler::SigAction(stopped), flags, SigSet::empty());
            // The work's own stack is to stay as it is without us.
            let stack = Vec::leak(vec![0_u8; 1 << 20]);
            let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
            // SAFETY: the stack is never freed; `stopped` touches what its own description says.
            unsafe {
                assert_eq!(libc::sigaltstack(&raw const stack, std::ptr::null_mut()), 0);
                sigaction(Signal::SIGTRAP, &action).unwrap();
            }
            Self { instructions: HashMap::new(), factory: InstructionInfoFactory::new(), steps: Vec::new() }
        }

        /// Runs `work` step by step.
        #[inline(never)]
        fn over<R>(&mut self, work: impl FnOnce() -> R) -> R {
            WATCH.store(self, Relaxed);
            // SAFETY: the handler for the trap is there, and flags are changed by way of the stack as the ABI allows.
            unsafe { asm!("pushfq", "or qword ptr [rsp], {}", "popfq", const TRAP_FLAG) };
            let result = work();
            // SAFETY: as above.
            unsafe { asm!("pushfq", "and qword ptr [rsp], {}", "popfq", const !(TRAP_FLAG as i32)) };
            WATCH.store(std::ptr::null_mut(), Relaxed);
            result
        }

        /// Notes what is about to be executed.
        fn note(&mut self, context: &libc::mcontext_t) {
            let registers = &context.gregs;
            let at = registers[libc::REG_RIP as usize] as u64;
            let factory = &mut self.factory;
            let (instruction, memory) = self.instructions.entry(at).or_insert_with(|| {
                let instruction = decode(at);
                (instruction, factory.info(&instruction).used_memory().to_vec())
            });
            // FNV-1a, a word at a time.
            let mut touched = 0xcbf2_9ce4_8422_2325_u64;
            let mut note = |word: u64| touched = (touched ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
            // Their time depends on what they divide.
            let divides = matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv);
            for used in &*memory {
                // A gather's addresses are in a vector; those of all of its places are noted, masked ones, too.
                if used.index().is_vector_register() {
                    vector(context, used.index()).chunks(8).for_each(|part| {
                        note(u64::from_le_bytes(part.try_into().expect("vectors are of whole words")));
                    });
                }
                let address = used.virtual_address(0, |register, _, _| Some(value(registers, register).unwrap_or(0)));
                let address = address.expect("no register is without a value");
                note(address);
                if divides {
                    let size = used.memory_size().size();
                    // SAFETY: what the instruction is about to read.
                    let divisor = unsafe { std::slice::from_raw_parts(address as *const u8, size) };
                    divisor.iter().for_each(|byte| note(u64::from(*byte)));
                }
            }
            if divides {
                note(registers[libc::REG_RAX as usize] as u64);
                note(registers[libc::REG_RDX as usize] as u64);
                if instruction.op0_kind() == OpKind::Register {
                    note(value(registers, instruction.op0_register()).expect("a general register"));
                }
            }
            self.steps.push(Step { at, touched });
        }
    }

    /// Called behind every instruction that is watched. It may allocate, for what is watched has memory of its own.
    extern "C" fn stopped(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        SHELF_OF_WORK.is_open.store(false, Relaxed);
        // SAFETY: set by `Watch::over`, whose borrow lasts as long as instructions are watched.
        let watch = unsafe { WATCH.load(Relaxed).as_mut() }.expect("a watch");
        // SAFETY: the kernel hands over the context of the thread that was stopped.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        watch.note(&context.uc_mcontext);
        SHELF_OF_WORK.is_open.store(true, Relaxed);
    }

    /// The instruction at an address of this process.
    fn decode(at: u64) -> Instruction {
        const PAGE: u64 = 4096;
        let decode = |length: u64| {
            // SAFETY: it is about to be executed, so all of its bytes can be read; those behind it are of the same page,
            // or, where it was no whole instruction without them, of the next one that it goes on in.
            let bytes = unsafe { std::slice::from_raw_parts(at as *const u8, length as usize) };
            Some(Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode()).filter(|found| !found.is_invalid())
        };
        // An instruction has 15 bytes at most; the next page, if it may not be needed, is left alone.
        decode(15.min(PAGE - at % PAGE)).or_else(|| decode(15)).unwrap_or_else(|| panic!("no instruction at {at:#x}"))
    }

    /// What a register holds that addresses are made of; `None` of a vector.
    fn value(registers: &[i64; 23], register: Register) -> Option<u64> {
        let index = match register.full_register() {
            Register::RAX => libc::REG_RAX,
            Register::RBX => libc::REG_RBX,
            Register::RCX => libc::REG_RCX,
            Register::RDX => libc::REG_RDX,
            Register::RSI => libc::REG_RSI,
            Register::RDI => libc::REG_RDI,
            Register::RBP => libc::REG_RBP,
            Register::RSP => libc::REG_RSP,
            Register::R8 => libc::REG_R8,
            Register::R9 => libc::REG_R9,
            Register::R10 => libc::REG_R10,
            Register::R11 => libc::REG_R11,
            Register::R12 => libc::REG_R12,
            Register::R13 => libc::REG_R13,
            Register::R14 => libc::REG_R14,
            Register::R15 => libc::REG_R15,
            Register::RIP => libc::REG_RIP,
            // Their bases stay the same.
            Register::CS | Register::DS | Register::ES | Register::FS | Register::GS | Register::SS => return Some(0),
            _ => return None,
        };
        Some(registers[index as usize] as u64)
    }

    /// The bytes of a vector that was saved for the handler, as XSAVE lays them out.
    fn vector(context: &libc::mcontext_t, register: Register) -> Vec<u8> {
        let area = context.fpregs.cast::<u8>().cast_const();
        let (number, size) = (register.number(), register.size());
        // Where a component stands is asked of the processor: the upper halves of the first sixteen vectors, the upper
        // halves of these, and all of the other sixteen (Intel's manual, volume 1, §13.5).
        let component = |which| __cpuid_count(0xd, which).ebx as usize;
        let parts = if number < 16 {
            [(160 + 16 * number, 16), (component(2) + 16 * number, 16), (component(6) + 32 * number, 32)]
        } else {
            [(component(7) + 64 * (number - 16), 64), (0, 0), (0, 0)]
        };
        let mut bytes = Vec::with_capacity(64);
        for (offset, length) in parts {
            let length = length.min(size - bytes.len());
            if length != 0 {
                // SAFETY: the kernel has saved all vectors that the processor has, and it has one of this size, for an
                // instruction is about to use it.
                bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(area.add(offset), length) });
            }
        }
        bytes
    }

    fn text(instruction: &Instruction) -> String {
        let mut text = String::new();
        IntelFormatter::new().format(instruction, &mut text);
        text
    }

    /// Where the executable is mapped: addresses minus this are those of its symbols.
    fn image() -> u64 {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let executable = std::env::current_exe().unwrap();
        let line = maps.lines().find(|line| line.ends_with(executable.to_str().unwrap())).unwrap();
        u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()
    }

    /// Where the two part, in words; `None` where they are the same.
    fn difference(watch: &Watch, one: &[Step], other: &[Step]) -> Option<String> {
        let position = (0..one.len().max(other.len())).find(|i| one.get(*i) != other.get(*i))?;
        let mut report = format!("they part at step {position} of {} and {}", one.len(), other.len());
        for step in [one.get(position), other.get(position)].into_iter().flatten() {
            let instruction = &watch.instructions[&step.at].0;
            let (at, relative) = (step.at, step.at.wrapping_sub(image()));
            let _ = write!(report, "\n    {at:#x} (in the executable {relative:#x}): {}", text(instruction));
        }
        let before = position.checked_sub(1).and_then(|before| one.get(before));
        if let Some(step) = before {
            let _ = write!(report, "\n    after {:#x}: {}", step.at, text(&watch.instructions[&step.at].0));
        }
        Some(report)
    }

    /// The work on each of the secrets: how many steps it takes, and where they part.
    fn compare(
        watch: &mut Watch,
        (work, suite, kernel): (Work, Suite, Kernel),
        secrets: &[Secret],
        room: &mut Room,
    ) -> (usize, Option<String>) {
        let traces: Vec<Vec<Step>> = (secrets.iter())
            .map(|secret| {
                act(work, suite, kernel, secret, room, watch);
                std::mem::take(&mut watch.steps)
            })
            .collect();
        let difference = traces[1..].iter().find_map(|trace| difference(watch, &traces[0], trace));
        (traces[0].len(), difference)
    }

    // A step takes some ten microseconds: it is an exception and a signal. The next three say where fewer will do.

    /// What is watched of a suite.
    fn works(suite: Suite) -> &'static [Work] {
        match suite {
            // SHA-384 is SHA-512 from another start.
            Suite::AesCbc(_, Integrity::HmacSha384) => &[],
            Suite::AesCbc(AesKey::Aes128, _) => &[Work::Expand, Work::Seal, Work::Open],
            // What the length of an AES key changes, once.
            Suite::AesCbc(_, Integrity::HmacSha256) => &[Work::Expand],
            Suite::AesCbc(..) => &[],
            _ => &[Work::Expand, Work::Seal, Work::Open],
        }
    }

    /// The packets of a batch: some of them under a hash, whose steps are many, and on a kernel that takes them one by one.
    fn packets_of(suite: Suite, kernel: Kernel) -> Range<usize> {
        match (suite, kernel) {
            (_, Kernel::Portable) => 6..8,
            (Suite::AesCbc(..), _) => 6..9,
            _ => 0..LENGTHS.len(),
        }
    }

    /// How many secrets are told apart: one of nothing but zeros, and some without a pattern. Kernels that valgrind has the
    /// instructions for are watched by it bit by bit: see `undefined_secrets`.
    fn secrets(suite: Suite, kernel: Kernel) -> Vec<Secret> {
        let few = kernel <= Kernel::AesNi || matches!(suite, Suite::AesCbc(..));
        let count = if few { 2 } else { SECRETS };
        (0..count).map(|number| Secret::new(suite, kernel, number)).collect()
    }

    /// # Errors
    /// What was found.
    pub fn run() -> Result<(), String> {
        let mut watch = Watch::new();
        let mut leaks = Vec::new();
        let mut total = 0;
        let (suite, kernel) = (Suite::Aes128Gcm16, Kernel::Portable);
        let secrets_of_leaks = secrets(suite, kernel);
        let mut leaky = vec![Work::LeakyBranch, Work::LeakyIndex, Work::LeakyDivision];
        leaky.extend(is_x86_feature_detected!("avx2").then_some(Work::LeakyGather256));
        leaky.extend(is_x86_feature_detected!("avx512f").then_some(Work::LeakyGather512));
        for work in leaky {
            match compare(&mut watch, (work, suite, kernel), &secrets_of_leaks, &mut Room::new(suite)) {
                (_, None) => leaks.push(format!("{work:?} was not caught")),
                (_, Some(how)) => println!("{work:?} was caught: {how}"),
            }
        }
        for suite in Suite::ALL {
            for kernel in keys(suite, &vec![0; suite.key_length()]).iter().map(Key::kernel) {
                let secrets = secrets(suite, kernel);
                let mut room = Room::new(suite);
                for &work in works(suite) {
                    let (steps, difference) = compare(&mut watch, (work, suite, kernel), &secrets, &mut room);
                    println!("{work:?} of {suite} on {kernel}: {steps} steps, {} times", secrets.len());
                    total += steps * secrets.len();
                    if let Some(difference) = difference {
                        leaks.push(format!("{work:?} of {suite} on {kernel}: {difference}"));
                    }
                }
            }
        }
        println!("{total} steps");
        if leaks.is_empty() { Ok(()) } else { Err(leaks.join("\n")) }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() {
    if let Err(leaks) = single_step::run() {
        println!("{leaks}\ntest constant_time ... FAILED");
        std::process::exit(1);
    }
    println!("test constant_time ... ok");
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    println!("SKIP constant_time: single steps are decoded for x86-64 under Linux only");
}
