//! Hostile files: each must end in a typed error that says what is wrong, without a panic and without memory by an unchecked
//! length. Files are made here; the accepted neighbours are in `formats.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod emit;

use emit::{Pickle, field, initialiser, legacy_start, number, onnx, safetensors, zip};
use maquette_weights::{Checkpoint, Error, ModelConfig, PipelineConfig, ShardIndex, pack::Pack};

type Case = (&'static str, Vec<u8>, &'static str);

/// Every case must fail, with a message that holds the expected words.
fn refuse(kind: &str, cases: Vec<Case>, parse: impl Fn(&[u8]) -> Result<(), Error>) -> usize {
    let mut wrong = Vec::new();
    for (name, bytes, words) in &cases {
        match parse(bytes) {
            Ok(()) => wrong.push(format!("{name}: accepted")),
            Err(error) if error.to_string().len() > 4000 => {
                wrong.push(format!("{name}: a message as long as the file"))
            }
            Err(error) if !error.to_string().contains(words) => {
                wrong.push(format!("{name}: expected {words:?} in {error}"))
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    cases.len()
}

fn open(bytes: &[u8]) -> Result<(), Error> {
    Checkpoint::from_bytes(bytes).map(drop)
}

fn one(entry: &str, data: usize) -> Vec<u8> {
    safetensors(&format!("{{\"w\":{entry}}}"), &vec![0; data])
}

fn safetensors_cases() -> Vec<Case> {
    let f32_at = |shape: &str, offsets: &str| format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#);
    let two = |a: &str, b: &str, data| safetensors(&format!("{{\"a\":{a},\"b\":{b}}}"), &vec![0; data]);
    let mut long = vec![0; 9];
    long[..8].copy_from_slice(&(1u64 << 30).to_le_bytes());
    long[8] = b'{';
    let mut past_end = safetensors("{}", &[]);
    past_end[0] = 100;
    let mut non_utf8 = safetensors("{\"w\":{}}", &[]);
    non_utf8[10] = 0xff;
    let bomb = format!("{{\"w\":{}", "[".repeat(200_000));
    let packed = |meta: &str, rest: &str, data| {
        safetensors(&format!("{{\"__metadata__\":{{\"maquette.packed\":{meta:?}}}{rest}}}"), &vec![0; data])
    };
    let q = r#","w":{"dtype":"I8","shape":[2,3],"data_offsets":[4,10]},"w:scales":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}"#;
    vec![
        ("header length past the end", past_end, "only 2 follow"),
        ("header length of a gigabyte", long, "more than the limit"),
        ("header cut in the middle", safetensors("{\"w\":{\"dtype\"", &[]), "not a valid safetensors"),
        ("overlapping tensors", two(&f32_at("[1]", "[0,4]"), &f32_at("[1]", "[2,6]"), 6), "overlaps"),
        ("same bytes twice", two(&f32_at("[1]", "[0,4]"), &f32_at("[1]", "[0,4]"), 4), "overlaps"),
        ("gap between tensors", two(&f32_at("[1]", "[0,4]"), &f32_at("[1]", "[8,12]"), 12), "gap"),
        ("gap at the start", one(&f32_at("[1]", "[4,8]"), 8), "gap"),
        ("bytes after the last tensor", one(&f32_at("[1]", "[0,4]"), 8), "the tensors end at byte"),
        ("tensor past the end", one(&f32_at("[2]", "[0,8]"), 4), "do not lie in"),
        ("offsets backwards", one(&f32_at("[1]", "[4,0]"), 4), "do not lie in"),
        (
            "offsets that overflow",
            one(&f32_at("[1]", "[18446744073709551612,18446744073709551615]"), 4),
            "beyond any file",
        ),
        ("shape larger than its bytes", one(&f32_at("[2]", "[0,4]"), 4), "needs 8 bytes"),
        ("shape of 2^60", one(&f32_at("[1152921504606846976]", "[0,4]"), 4), "needs 4611686018427387904"),
        (
            "shape whose product overflows",
            one(&f32_at("[4294967296,4294967296,4294967296]", "[0,4]"), 4),
            "more bytes than can be counted",
        ),
        (
            "zero hides an overflow",
            one(&f32_at("[1152921504606846976,1152921504606846976,0]", "[0,0]"), 0),
            "more bytes than can be counted",
        ),
        ("negative dimension", one(&f32_at("[-1]", "[0,4]"), 4), "tensor `w`"),
        ("fractional dimension", one(&f32_at("[1.5]", "[0,4]"), 4), "tensor `w`"),
        ("unknown type", one(r#"{"dtype":"F99","shape":[1],"data_offsets":[0,4]}"#, 4), "`F99` is not known"),
        ("missing shape", one(r#"{"dtype":"F32","data_offsets":[0,4]}"#, 4), "missing field `shape`"),
        ("three offsets", one(&f32_at("[1]", "[0,4,8]"), 4), "tensor `w`"),
        (
            "repeated tensor",
            safetensors(&format!("{{\"w\":{0},\"w\":{0}}}", f32_at("[1]", "[0,4]")), &[0; 4]),
            "stands twice",
        ),
        (
            "repeated field",
            one(r#"{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}"#, 4),
            "duplicate field",
        ),
        ("tensor that is a list", one("[]", 0), "tensor `w`"),
        ("non-UTF-8 header", non_utf8, "not valid UTF-8"),
        ("depth bomb", safetensors(&bomb, &[]), "EOF while parsing a list"),
        ("metadata that is not text", safetensors(r#"{"__metadata__":{"a":1}}"#, &[]), "strings to strings"),
        ("trailing text in the header", safetensors("{} x", &[]), "trailing characters"),
        ("packed list damaged", packed("nonsense", "", 0), "is damaged"),
        ("packed tensor missing", packed(r#"{"w":{"form":"Q8","shape":[2,3]}}"#, "", 0), "missing"),
        ("packed form unknown", packed(r#"{"w":{"form":"Q3","shape":[2,3]}}"#, q, 10), "`Q3` is not known"),
        ("packed shape of another size", packed(r#"{"w":{"form":"Q8","shape":[2,4]}}"#, q, 10), "needs 8 and 4"),
        (
            "packed shape that overflows",
            packed(r#"{"w":{"form":"Q4G32","shape":[9223372036854775807,9223372036854775807]}}"#, q, 10),
            "beyond any file",
        ),
        ("empty file", Vec::new(), "not a checkpoint in a known format"),
        ("a web page", b"<!DOCTYPE html><html>".to_vec(), "not a checkpoint in a known format"),
        (
            "a git-lfs pointer",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00".to_vec(),
            "not a checkpoint in a known format",
        ),
    ]
}

fn pickle_cases() -> Vec<Case> {
    let archive = |p: Pickle| p.archive(&[0; 24]);
    let new = Pickle::new;
    let call = |module: &str, name: &str| new().global(module, name).op(b"(").text("id").op(b"tR.");
    let whole = Pickle::one(6, 0, &[2, 3], &[3, 1]);
    let good = whole.archive(&[0; 24]);
    let patched = |find: &[u8], change: &dyn Fn(&mut [u8])| {
        let mut file = good.clone();
        let at = file.windows(find.len()).position(|w| w == find).unwrap();
        change(&mut file[at..]);
        file
    };
    let chain = |levels: usize| new().op(b")").op(vec![0x85; levels]).op(b".");
    let legacy = |rest: Vec<u8>| [legacy_start(true), rest].concat();
    let legacy_dict =
        new().op(b"}").text("w").tensor(|p| p.legacy_storage("FloatStorage", "0", 1), 0, &[1], &[1]).op(b"s.").0;
    let keys = |key: &str| new().op(b"]").text(key).op(b"a.").0;
    let mut compressed_entry = good.clone();
    let directory = compressed_entry.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    compressed_entry[directory + 10] = 8;
    vec![
        ("os.system", archive(call("os", "system")), "`os.system`"),
        ("builtins.eval", archive(call("builtins", "eval")), "`builtins.eval`"),
        (
            "posix.system by STACK_GLOBAL",
            archive(new().text("posix").text("system").op([0x93]).op(b".")),
            "`posix.system`",
        ),
        ("a torch function that loads code", archive(call("torch", "load")), "`torch.load`"),
        ("numpy reconstruction", archive(call("numpy.core.multiarray", "_reconstruct")), "_reconstruct"),
        (
            "an object of a class",
            archive(new().global("collections", "OrderedDict").op([b')', 0x81]).op(b".")),
            "NEWOBJ",
        ),
        ("state set on a tuple", archive(new().op(b")Nb.")), "BUILD"),
        ("INST", archive(new().op(b"(ios\nsystem\n.")), "opcode 0x69"),
        ("extension registry", archive(new().op([0x82, 1]).op(b".")), "opcode 0x82"),
        ("protocol 9", archive(Pickle(vec![0x80, 9, b'.'])), "protocol 9"),
        ("empty program", archive(Pickle(Vec::new())), "ends early"),
        ("program without an end", archive(new().op(b"N")), "ends early"),
        ("pop of an empty stack", archive(new().op(b"0.")), "stack is empty"),
        ("mark that is not there", archive(new().op(b"t.")), "no mark"),
        ("pop across a mark", archive(new().op(b"N(0.")), "stack is empty"),
        ("memo that is empty", archive(new().op(b"h\x05.")), "memo 5 is empty"),
        ("string of four gigabytes", archive(new().op(b"X\xff\xff\xff\xff.")), "4294967295 bytes are needed"),
        ("string of 2^63 bytes", archive(new().op(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.")), "are needed"),
        ("number of 2^31 bytes", archive(new().op(b"\x8b\xff\xff\xff\x7f.")), "are needed"),
        ("string that is not UTF-8", archive(new().op(b"X\x01\0\0\0\xff.")), "not valid UTF-8"),
        ("odd dictionary", archive(new().op(b"}(Nu.")), "key without a value"),
        ("append to nothing", archive(new().op(b"}Na.")), "not a list"),
        ("call of a number", archive(new().int(3).op(b")R.")), "is called"),
        ("a tuple chain a million deep", archive(chain(1_000_000)), "no dictionary of tensors"),
        ("a list in itself", archive(new().op(b"]q\x002a.")), "no dictionary of tensors"),
        ("a dictionary in itself", archive(new().op(b"}q\0X\x05\0\0\0modelh\0s.")), "no dictionary of tensors"),
        ("millions of values", archive(new().op(b")".repeat(5 << 20)).op(b".")), "more than 4194304 values"),
        ("a bare number", archive(new().int(1).op(b".")), "no dictionary of tensors"),
        ("storage that is not there", zip(&[("a/data.pkl", &whole.0)]), "storage `0`"),
        ("storage too short", whole.archive(&[0; 20]), "its storage of 5"),
        ("offset past the storage", archive(Pickle::one(6, 6, &[1], &[1])), "do not lie in its storage"),
        ("stride past the storage", archive(Pickle::one(6, 0, &[2, 3], &[300, 1])), "do not lie in its storage"),
        ("stride that overflows", archive(Pickle::one(6, 0, &[2, 3], &[i64::MAX, i64::MAX])), "beyond any file"),
        ("expanded to a terabyte", archive(Pickle::one(6, 0, &[1 << 40], &[0])), "its storage has 6"),
        ("negative size", archive(Pickle::one(6, 0, &[-1], &[1])), "zero and up"),
        ("negative offset", archive(Pickle::one(6, -1, &[1], &[1])), "zero and up"),
        ("2^62 elements", archive(Pickle::one(6, 0, &[1 << 31, 1 << 31, 1 << 31], &[1, 1, 1])), "beyond any file"),
        ("sizes without strides", archive(Pickle::one(6, 0, &[2, 3], &[1])), "2 sizes and 1 strides"),
        (
            "tensor on a string",
            archive(new().op(b"}").text("w").tensor(|p| p.text("s"), 0, &[1], &[1]).op(b"s.")),
            "expected a storage",
        ),
        ("persistent id that is a string", archive(new().text("x").op(b"Q.")), "persistent id is a string"),
        ("quantised storage", archive(new().global("torch", "QInt8Storage").op(b".")), "`torch.QInt8Storage`"),
        ("zip without data.pkl", zip(&[("a/b", b"x")]), "without data.pkl"),
        ("TorchScript", zip(&[("a/data.pkl", &whole.0), ("a/constants.pkl", b"")]), "TorchScript"),
        (
            "big-endian archive",
            zip(&[("a/data.pkl", &whole.0), ("a/byteorder", b"big"), ("a/data/0", &[0; 24])]),
            "big-endian",
        ),
        ("member twice", zip(&[("a/data.pkl", &whole.0), ("a/data.pkl", &whole.0)]), "stands twice"),
        ("zip cut off", good[..good.len() - 30].to_vec(), "no end record"),
        ("zip directory past the end", patched(b"PK\x05\x06", &|f| f[16..20].fill(0xff)), "outside the file"),
        ("zip count too large", patched(b"PK\x05\x06", &|f| f[10..12].fill(0xff)), "ends early"),
        ("zip member past the end", patched(b"PK\x01\x02", &|f| f[42..46].fill(0xfe)), "lie outside the file"),
        ("compressed member", compressed_entry, "compressed"),
        ("encrypted member", patched(b"PK\x01\x02", &|f| f[8] = 1), "encrypted"),
        ("plain pickle", new().op(b"}.").0, "magic number is missing"),
        ("legacy cut off", legacy_start(true), "ends early"),
        ("legacy big-endian", [legacy_start(false), legacy_dict.clone()].concat(), "not little-endian"),
        (
            "legacy keys that are no list",
            legacy([legacy_dict.clone(), new().int(1).op(b".").0].concat()),
            "list of storage keys",
        ),
        ("legacy without storages", legacy([legacy_dict.clone(), keys("0")].concat()), "ends before its storages"),
        (
            "legacy storage of 2^60",
            legacy([legacy_dict.clone(), keys("0"), (1u64 << 60).to_le_bytes().to_vec()].concat()),
            "more than the file has",
        ),
        (
            "legacy storage of unknown type",
            legacy([legacy_dict, keys("9"), vec![0; 8]].concat()),
            "no tensor uses storage `9`",
        ),
    ]
}

fn onnx_cases() -> Vec<Case> {
    let graph = |tensor: Vec<u8>| onnx(&field(5, tensor));
    let w = initialiser("w", 1, &[1], &[0; 4]);
    vec![
        ("model without a graph", [number(1, 6), field(2, "x")].concat(), "no graph"),
        ("raw data too short", graph(initialiser("w", 1, &[2], &[0; 4])), "needs 8 bytes, 4 are stored"),
        ("dimension of 2^60", graph(initialiser("w", 1, &[1 << 60], &[0; 4])), "needs 4611686018427387904 bytes"),
        ("dimensions that overflow", graph(initialiser("w", 1, &[1 << 40, 1 << 40], &[0; 4])), "beyond any file"),
        ("negative dimension", graph(initialiser("w", 1, &[u64::MAX], &[0; 4])), "beyond any file"),
        ("element type of strings", graph(initialiser("w", 8, &[1], &[0; 4])), "element type 8"),
        ("initialiser twice", onnx(&[field(5, &w), field(5, &w)].concat()), "stands twice"),
        (
            "data in another file",
            graph([number(1, 1), number(2, 1), field(8, "w"), field(13, "x")].concat()),
            "another file",
        ),
        ("name that is not UTF-8", graph([number(2, 1), field(8, [0xff])].concat()), "not valid UTF-8"),
        (
            "field longer than its message",
            [number(1, 6), vec![0x3a, 0xff, 0xff, 0xff, 0x7f]].concat(),
            "are left in its message",
        ),
        ("length of 2^63", [number(1, 6), vec![0x3a], vec![0xff; 8], vec![0x7f]].concat(), "are left in its message"),
        ("number without an end", [number(1, 6), vec![0x28], vec![0xff; 12]].concat(), "longer than 64 bits"),
        ("group wire type", onnx(&[0x2b]), "wire type 3"),
        ("field number zero", onnx(&[0x02, 0x00]), "field number 0"),
        ("sparse initialiser", onnx(&field(15, "x")), "sparse"),
    ]
}

fn index_cases() -> Vec<Case> {
    let map = |shard: &str| format!("{{\"weight_map\":{{\"w\":{shard}}}}}").into_bytes();
    vec![
        ("parent folder", map(r#""../secret.safetensors""#), "same folder"),
        ("absolute path", map(r#""/etc/passwd""#), "same folder"),
        ("windows drive", map(r#""C:x.safetensors""#), "same folder"),
        ("backslash", map(r#""a\\b""#), "same folder"),
        ("empty name", map("\"\""), "same folder"),
        ("number as a shard", map("3"), "expected a string"),
        ("tensor twice", br#"{"weight_map":{"w":"a","w":"b"}}"#.to_vec(), "stands twice"),
        ("no map", b"{}".to_vec(), "weight_map"),
        ("not JSON", b"weights".to_vec(), "expected value"),
        ("depth bomb", format!("{{\"metadata\":{}", "[".repeat(300_000)).into_bytes(), "EOF while parsing a list"),
    ]
}

fn json_cases() -> Vec<Case> {
    vec![
        ("not JSON", b"{ \"name\": }".to_vec(), "expected value"),
        ("cut off", b"{\"name\":\"P\",\"args\":{".to_vec(), "EOF"),
        ("depth bomb of lists", "[".repeat(1_000_000).into_bytes(), "recursion limit"),
        ("depth bomb of objects", "{\"a\":".repeat(1_000_000).into_bytes(), "recursion limit"),
        ("repeated key deep inside", br#"{"name":"P","args":{"models":{"a":"x","a":"y"}}}"#.to_vec(), "stands twice"),
        ("not UTF-8", b"{\"name\":\"\xff\"}".to_vec(), "not valid UTF-8"),
        ("number out of range", b"{\"name\":1e999}".to_vec(), "out of range"),
    ]
}

fn pack_cases() -> Vec<Case> {
    let text = |shards: &str, tensor: &str| {
        let stage = format!(r#"{{"config":{{"name":"A","args":{{}}}},"bytes":4,"tensors":[{tensor}]}}"#);
        format!(
            r#"{{"version":1,"model":"m","precision":"f32","license":"","pipeline":{{"name":"P","args":{{"models":{{}}}}}},"bytes_by_dtype":{{}},"bytes":4,"shards":[{shards}],"stages":{{"a":{stage}}}}}"#
        )
        .into_bytes()
    };
    let shard = |file: &str, bytes: u64, sha: &str| format!(r#"{{"file":"{file}","bytes":{bytes},"sha256":"{sha}"}}"#);
    let good = shard("s.bin", 4, &"0".repeat(64));
    let tensor = |shape: &str, range: &str| format!(r#"{{"name":"w","dtype":"F32","shape":{shape},"data":[{range}]}}"#);
    let range = |shard: u64, start: u64, end: u64| format!(r#"{{"shard":{shard},"start":{start},"end":{end}}}"#);
    let w = tensor("[1]", &range(0, 0, 4));
    Pack::parse("pack.json", &text(&good, &w)).expect("the neighbour of these cases is good");
    vec![
        ("other version", b"{\"version\":2}".to_vec(), "expected the number 1"),
        ("no version", b"{}".to_vec(), "found nothing"),
        ("path as a shard", text(&shard("../x", 4, &"0".repeat(64)), &w), "plain file name"),
        ("hidden file as a shard", text(&shard(".x", 4, &"0".repeat(64)), &w), "plain file name"),
        ("shard of a terabyte", text(&shard("s", 1 << 40, &"0".repeat(64)), &w), "more than the limit"),
        ("short digest", text(&shard("s", 4, "00"), &w), "64 lower-case"),
        ("shard that is not there", text(&good, &tensor("[1]", &range(7, 0, 4))), "do not lie in shard 7"),
        ("range past the shard", text(&good, &tensor("[2]", &range(0, 0, 8))), "do not lie in shard 0"),
        ("range backwards", text(&good, &tensor("[1]", &range(0, 4, 0))), "do not lie in shard 0"),
        ("shape of another size", text(&good, &tensor("[2]", &range(0, 0, 4))), "needs 8 bytes"),
        ("shape that overflows", text(&good, &tensor("[4294967296,4294967296]", &range(0, 0, 4))), "is not a tensor"),
        ("tensor twice", text(&good, &format!("{w},{w}")), "stands twice"),
        ("unknown type", text(&good, &w.replace("F32", "F99")), "is not a tensor"),
        (
            "tensor larger than its shards",
            text(&good, &tensor("[2]", &[range(0, 0, 4), range(0, 0, 4)].join(","))),
            "overlap",
        ),
        ("two tensors in one place", text(&good, &format!("{w},{}", w.replace("\"w\"", "\"v\""))), "overlap at byte 0"),
    ]
}

#[test]
fn hostile_files_end_in_typed_errors() {
    let mut files = refuse("safetensors", safetensors_cases(), open);
    files += refuse("pickle", pickle_cases(), open);
    files += refuse("onnx", onnx_cases(), open);
    files += refuse("index", index_cases(), |b| ShardIndex::parse("model.safetensors.index.json", b).map(drop));
    files += refuse("pipeline", json_cases(), |b| PipelineConfig::parse("pipeline.json", b).map(drop));
    files += refuse("model", json_cases(), |b| ModelConfig::parse("model.json", b).map(drop));
    files += refuse("pack", pack_cases(), |b| Pack::parse("pack.json", b).map(drop));
    println!("{files} hostile files refused");
    assert!(files >= 60, "only {files} hostile files");
}

/// Every prefix of a good file, and every single-byte change of its structure, is an error or a readable checkpoint.
#[test]
fn cut_and_damaged_files_never_panic() {
    let good = [
        safetensors(r#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#, &[0; 24]),
        Pickle::one(6, 0, &[3, 2], &[1, 3]).archive(&[0; 24]),
        onnx(&field(5, initialiser("w", 1, &[2, 3], &[0; 24]))),
    ];
    for file in good {
        Checkpoint::from_bytes(file.as_slice()).expect("the whole file is good");
        for cut in 0..file.len() {
            let _ = Checkpoint::from_bytes(&file[..cut]);
        }
        for at in 0..file.len() {
            for change in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = change;
                if let Ok(checkpoint) = Checkpoint::from_bytes(damaged) {
                    for name in checkpoint.names() {
                        let view = checkpoint.tensor(name).expect("a listed tensor");
                        assert_eq!(view.to_f32().len(), view.elements());
                    }
                }
            }
        }
    }
}
