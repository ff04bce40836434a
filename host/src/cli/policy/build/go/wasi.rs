//! WASI preview 1 as a policy gets it: there is nothing, and it is the same nothing every time.
//!
//! A WebAssembly module that answers every function of `wasi_snapshot_preview1` (WebAssembly/WASI, "preview1") by
//! itself, and imports only the memory of whoever asks. No files, arguments or environment; what is written vanishes;
//! random bytes come from a fixed seed; the clock starts at 1970 and each look at it takes a millisecond, so that
//! whoever waits does not wait for ever. `proc_exit` is a trap: a policy that ends itself has failed.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, InstructionSink, MemArg, MemoryType, Module, TypeSection, ValType,
};

/// The name under which modules import these functions.
pub(super) const NAME: &str = "wasi_snapshot_preview1";

/// Every function with its parameters, `i` for 32 bits and `I` for 64. Each returns an error number, but `proc_exit`.
const FUNCTIONS: [(&str, &str); 46] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

const SUCCESS: i32 = 0;
/// `badf`: no such file descriptor. There are none.
const BAD_DESCRIPTOR: i32 = 8;
/// `notsup`: not supported.
const NOT_SUPPORTED: i32 = 58;
/// Nanoseconds that a look at the clock takes. Go takes a clock at zero for a broken one.
const TICK: i64 = 1_000_000;
/// Nanoseconds that a wait takes.
const WAIT: i64 = 1_000_000_000;
/// Where the random bytes start.
const SEED: i64 = 0x5DEE_CE66;
/// Step of the generator of random bytes (D. Knuth, MMIX: multiplier and increment).
const STEP: (i64, i64) = (6_364_136_223_846_793_005, 1_442_695_040_888_963_407);

const CLOCK: u32 = 0;
const RANDOM: u32 = 1;

/// The module.
pub(super) fn module() -> Vec<u8> {
    let (mut types, mut functions, mut exports, mut code) =
        (TypeSection::new(), FunctionSection::new(), ExportSection::new(), CodeSection::new());
    for (index, (name, parameters)) in (0..).zip(FUNCTIONS) {
        let result = (name != "proc_exit").then_some(ValType::I32);
        types.ty().function(parameters.bytes().map(value_type), result);
        functions.function(index);
        exports.export(name, ExportKind::Func, index);
        code.function(&body(name, parameters.len()));
    }
    let mut imports = ImportSection::new();
    let memory = MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
    imports.import("env", "memory", EntityType::Memory(memory));
    let mut globals = GlobalSection::new();
    for start in [0, SEED] {
        let of = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        globals.global(of, &ConstExpr::i64_const(start));
    }
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&globals).section(&exports).section(&code);
    module.finish()
}

fn value_type(letter: u8) -> ValType {
    if letter == b'I' { ValType::I64 } else { ValType::I32 }
}

fn body(name: &str, parameters: usize) -> Function {
    let first_local = u32::try_from(parameters).expect("nine at most");
    let mut function = Function::new([(2, ValType::I32)]);
    let mut code = function.instructions();
    match name {
        "args_get" | "environ_get" | "sched_yield" => answer(&mut code, SUCCESS),
        "args_sizes_get" | "environ_sizes_get" => {
            store_zero(&mut code, 0);
            store_zero(&mut code, 1);
            answer(&mut code, SUCCESS);
        }
        "clock_res_get" => {
            code.local_get(1).i64_const(TICK).i64_store(WORD64);
            answer(&mut code, SUCCESS);
        }
        "clock_time_get" => {
            advance_clock(&mut code, TICK);
            code.local_get(2).global_get(CLOCK).i64_store(WORD64);
            answer(&mut code, SUCCESS);
        }
        "fd_write" => swallow(&mut code, first_local),
        "poll_oneoff" => {
            // Time passes and nothing has happened.
            advance_clock(&mut code, WAIT);
            store_zero(&mut code, 3);
            answer(&mut code, SUCCESS);
        }
        "proc_exit" => drop(code.unreachable().end()),
        "random_get" => fill(&mut code),
        _ if name.starts_with("fd_") || name.starts_with("sock_") => answer(&mut code, BAD_DESCRIPTOR),
        _ => answer(&mut code, NOT_SUPPORTED),
    }
    function
}

const BYTE: MemArg = MemArg { offset: 0, align: 0, memory_index: 0 };
const WORD: MemArg = MemArg { offset: 0, align: 2, memory_index: 0 };
const WORD64: MemArg = MemArg { offset: 0, align: 3, memory_index: 0 };

fn answer(code: &mut InstructionSink<'_>, error: i32) {
    code.i32_const(error).end();
}

fn store_zero(code: &mut InstructionSink<'_>, pointer: u32) {
    code.local_get(pointer).i32_const(0).i32_store(WORD);
}

fn advance_clock(code: &mut InstructionSink<'_>, by: i64) {
    code.global_get(CLOCK).i64_const(by).i64_add().global_set(CLOCK);
}

/// `fd_write(descriptor, vectors, count, written)`: says that all of it was written.
fn swallow(code: &mut InstructionSink<'_>, sum: u32) {
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(2).i32_eqz().br_if(1);
    // A vector is a pointer and a length.
    code.local_get(sum).local_get(1).i32_load(MemArg { offset: 4, ..WORD }).i32_add().local_set(sum);
    code.local_get(1).i32_const(8).i32_add().local_set(1);
    code.local_get(2).i32_const(1).i32_sub().local_set(2);
    code.br(0).end().end();
    code.local_get(3).local_get(sum).i32_store(WORD);
    answer(code, SUCCESS);
}

/// `random_get(buffer, length)`.
fn fill(code: &mut InstructionSink<'_>) {
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(1).i32_eqz().br_if(1);
    code.global_get(RANDOM).i64_const(STEP.0).i64_mul().i64_const(STEP.1).i64_add().global_set(RANDOM);
    // The high bits are the random ones.
    code.local_get(0).global_get(RANDOM).i64_const(56).i64_shr_u().i32_wrap_i64().i32_store8(BYTE);
    code.local_get(0).i32_const(1).i32_add().local_set(0);
    code.local_get(1).i32_const(1).i32_sub().local_set(1);
    code.br(0).end().end();
    answer(code, SUCCESS);
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Linker, Memory, Store};

    use super::*;

    /// The functions beside a page of memory.
    struct Running(Store<()>, Instance, Memory);

    fn running() -> Running {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, wasmtime::MemoryType::new(1, None)).expect("a page");
        let mut linker = Linker::new(&engine);
        linker.define(&store, "env", "memory", memory).expect("defined");
        let module = wasmtime::Module::new(&engine, module()).expect("a good module");
        let instance = linker.instantiate(&mut store, &module).expect("it wants nothing else");
        Running(store, instance, memory)
    }

    impl Running {
        fn word(&self, at: usize) -> u32 {
            u32::from_le_bytes(*self.2.data(&self.0)[at..].first_chunk().expect("in the page"))
        }

        fn set(&mut self, at: usize, words: &[u32]) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.2.write(&mut self.0, at, &bytes).expect("in the page");
        }

        /// Calls with 32-bit parameters.
        fn call(&mut self, name: &str, parameters: &[i32]) -> Option<i32> {
            let Self(store, instance, _) = self;
            let function = instance.get_func(&mut *store, name).expect("it is there");
            let parameters: Vec<_> = parameters.iter().map(|&value| wasmtime::Val::I32(value)).collect();
            let mut answer = [wasmtime::Val::I32(-1)];
            function.call(&mut *store, &parameters, &mut answer).ok().and_then(|()| answer[0].i32())
        }

        fn time(&mut self) -> i64 {
            let Self(store, instance, memory) = self;
            let clock = instance.get_typed_func::<(i32, i64, i32), i32>(&mut *store, "clock_time_get");
            assert_eq!(clock.expect("as declared").call(&mut *store, (1, 0, 8)).expect("no trap"), SUCCESS);
            i64::from_le_bytes(*memory.data(store)[8..].first_chunk().expect("in the page"))
        }
    }

    #[test]
    fn time_passes_and_is_never_zero() {
        let mut wasi = running();
        assert_eq!([wasi.time(), wasi.time()], [TICK, 2 * TICK]);
        wasi.set(64, &[7]);
        assert_eq!(wasi.call("poll_oneoff", &[0, 32, 1, 64]), Some(SUCCESS));
        assert_eq!((wasi.time(), wasi.word(64)), (3 * TICK + WAIT, 0), "a wait ends, and nothing has happened");
    }

    #[test]
    fn random_bytes_are_spread_and_the_same_in_every_instance() {
        let bytes = || {
            let mut wasi = running();
            assert_eq!(wasi.call("random_get", &[16, 64]), Some(SUCCESS));
            wasi.2.data(&wasi.0)[..96].to_vec()
        };
        let (first, second) = (bytes(), bytes());
        assert_eq!(first, second);
        assert!(first[16..80].iter().collect::<std::collections::BTreeSet<_>>().len() > 32, "{first:?}");
        assert!(first[..16].iter().chain(&first[80..]).all(|byte| *byte == 0), "not one byte more");
    }

    #[test]
    fn what_is_written_vanishes() {
        let mut wasi = running();
        wasi.set(0, &[100, 5, 200, 7]);
        assert_eq!(wasi.call("fd_write", &[1, 0, 2, 40]), Some(SUCCESS));
        assert_eq!(wasi.word(40), 12, "all of it");
        assert_eq!(wasi.call("fd_write", &[1, 0, 0, 40]), Some(SUCCESS));
        assert_eq!(wasi.word(40), 0);
    }

    #[test]
    fn there_is_nothing_else() {
        let mut wasi = running();
        wasi.set(0, &[9, 9]);
        assert_eq!(wasi.call("args_sizes_get", &[0, 4]), Some(SUCCESS));
        assert_eq!((wasi.word(0), wasi.word(4)), (0, 0));
        assert_eq!(wasi.call("fd_prestat_get", &[3, 0]), Some(BAD_DESCRIPTOR));
        assert_eq!(wasi.call("path_unlink_file", &[3, 0, 0]), Some(NOT_SUPPORTED));
        assert_eq!(wasi.call("proc_exit", &[0]), None, "a trap");
    }
}
