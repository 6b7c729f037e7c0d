//! Files as their own writers make them open, and mean the same in every format.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod emit;

use std::path::PathBuf;

use emit::{Pickle, field, floats, initialiser, legacy_start, number, onnx, safetensors, zip};
use maquette_weights::{Checkpoint, DType, Error, Format, Header, HeaderProgress, SafetensorsWriter, TensorInfo};

fn goldens() -> PathBuf {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = std::env::var_os("MAQUETTE_GOLDENS").map(PathBuf::from).into_iter();
    let mut places = places.chain([workspace.join("../shared/goldens"), workspace.join("tests/goldens")]);
    places.find(|p| p.is_dir()).expect("reference numbers: set MAQUETTE_GOLDENS")
}

#[test]
fn published_pickle_equals_its_safetensors_twin_bit_for_bit() {
    let folder = goldens().join("trellis/dinov2");
    let pickle = Checkpoint::open(folder.join("dinov2_tiny_reg4_pretrain.pth")).unwrap();
    let twin = Checkpoint::open(folder.join("dinov2_tiny_reg4.safetensors")).unwrap();
    assert_eq!((pickle.format(), twin.format()), (Format::Pickle, Format::Safetensors));
    let (mut a, mut b) = (pickle.names(), twin.names());
    a.sort_unstable();
    b.sort_unstable();
    assert_eq!(a, b);
    assert!(a.len() > 40);
    for name in a {
        let (p, t) = (pickle.tensor(name).unwrap(), twin.tensor(name).unwrap());
        assert_eq!((p.dtype(), p.shape(), p.bytes()), (t.dtype(), t.shape(), t.bytes()), "{name}");
    }
}

const VALUES: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

#[test]
fn strided_tensor_is_put_in_row_major_order() {
    let file = Pickle::one(6, 0, &[3, 2], &[1, 3]).archive(&floats(&VALUES));
    let c = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(c.tensor("w").unwrap().to_f32(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

#[test]
fn expanded_tensor_repeats_its_elements() {
    let file = Pickle::one(6, 1, &[2, 4], &[1, 0]).archive(&floats(&VALUES));
    let c = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(c.tensor("w").unwrap().to_f32(), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
}

#[test]
fn tensors_may_share_a_storage_at_offsets() {
    let p =
        Pickle::new().op(b"}").text("a").floats(6, 0, &[2], &[1]).op(b"s").text("b").floats(6, 2, &[4], &[1]).op(b"s.");
    let c = Checkpoint::from_bytes(p.archive(&floats(&VALUES))).unwrap();
    assert_eq!(c.tensor("a").unwrap().to_f32(), VALUES[..2]);
    assert_eq!(c.tensor("b").unwrap().to_f32(), VALUES[2..]);
}

#[test]
fn nested_state_dicts_and_wrapper_prefixes_are_found() {
    for (nest, key) in [("state_dict", "module.w"), ("model", "w"), ("whatever", "_orig_mod.w")] {
        let p = Pickle::new().op(b"}").text("epoch").int(3).op(b"s").text(nest).op(b"}");
        let p = p.text(key).floats(6, 0, &[6], &[1]).op(b"ss.");
        let c = Checkpoint::from_bytes(p.archive(&floats(&VALUES))).unwrap();
        assert_eq!(c.names(), ["w"], "{nest}");
    }
}

#[test]
fn ordered_dict_with_module_versions_and_parameters_is_read() {
    // What nn.Module.state_dict() and parameters look like: an OrderedDict with `_metadata` set on it.
    let p = Pickle::new().global("collections", "OrderedDict").op(b")R(").text("w");
    let p = p.global("torch._utils", "_rebuild_parameter").op(b"(").floats(6, 0, &[6], &[1]).op([0x88]);
    let p = p.global("collections", "OrderedDict").op(b")RtRu}").text("_metadata").op(b"}sb.");
    let c = Checkpoint::from_bytes(p.archive(&floats(&VALUES))).unwrap();
    assert_eq!(c.tensor("w").unwrap().to_f32(), VALUES);
}

#[test]
fn legacy_file_is_read() {
    let dict =
        Pickle::new().op(b"}").text("w").tensor(|p| p.legacy_storage("FloatStorage", "7", 6), 1, &[5], &[1]).op(b"s.");
    let keys = Pickle::new().op(b"]").text("7").op(b"a.");
    let file = [legacy_start(true), dict.0, keys.0, 6u64.to_le_bytes().to_vec(), floats(&VALUES)].concat();
    let c = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(c.tensor("w").unwrap().to_f32(), VALUES[1..]);
}

#[test]
fn every_storage_class_has_its_type() {
    let classes = [
        ("DoubleStorage", DType::F64),
        ("HalfStorage", DType::F16),
        ("BFloat16Storage", DType::BF16),
        ("LongStorage", DType::I64),
        ("CharStorage", DType::I8),
        ("ByteStorage", DType::U8),
        ("BoolStorage", DType::Bool),
        ("IntStorage", DType::I32),
        ("ShortStorage", DType::I16),
    ];
    for (class, dtype) in classes {
        let p = Pickle::new().op(b"}").text("w").tensor(|p| p.storage(class, "0", 1), 0, &[], &[]).op(b"s.");
        let c = Checkpoint::from_bytes(p.archive(&[0; 8])).unwrap();
        assert_eq!(c.tensor("w").unwrap().dtype(), dtype);
    }
}

#[test]
fn archive_with_64_bit_sizes_is_read() {
    // The same archive with every size and place moved into zip64 fields.
    let p = Pickle::one(6, 0, &[6], &[1]);
    let data = floats(&VALUES);
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in [("a/data.pkl", &p.0), ("a/data/0", &data)] {
        let at = file.len() as u64;
        file.extend(b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        file.extend([name.len() as u8, 0, 0, 0]);
        file.extend(name.as_bytes());
        file.extend(bytes);
        directory.extend(b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
        directory.extend([name.len() as u8, 0, 28 + 6, 0]);
        directory.extend([0; 10]);
        directory.extend([0xff; 4]);
        directory.extend(name.as_bytes());
        directory.extend([9, 0, 2, 0, 0, 0]); // another field comes first
        directory.extend([1, 0, 24, 0]);
        for n in [bytes.len() as u64, bytes.len() as u64, at] {
            directory.extend(n.to_le_bytes());
        }
    }
    let start = file.len() as u64;
    file.extend(&directory);
    let record = file.len() as u64;
    file.extend(b"PK\x06\x06");
    file.extend([0; 28]);
    for n in [2, directory.len() as u64, start] {
        file.extend(n.to_le_bytes());
    }
    file.extend(b"PK\x06\x07\0\0\0\0");
    file.extend(record.to_le_bytes());
    file.extend([1, 0, 0, 0]);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([0xff; 12]);
    file.extend([0, 0]);
    assert_eq!(Checkpoint::from_bytes(file).unwrap().tensor("w").unwrap().to_f32(), VALUES);
}

#[test]
fn onnx_initialisers_in_every_encoding_are_read() {
    let half = |v: f32| u64::from(half::f16::from_f32(v).to_bits());
    let typed = [number(1, 2), number(2, 1), field(8, "typed"), field(4, floats(&[1.0, 2.0]))].concat();
    let halves =
        [number(1, 2), number(2, 10), field(8, "halves"), number(5, half(0.5)), number(5, half(-2.0))].concat();
    let long = [number(1, 1), number(2, 7), field(8, "long"), number(7, -3i64 as u64)].concat();
    let graph = [initialiser("raw", 1, &[2], &floats(&[7.0, 8.0])), typed, halves, long].map(|t| field(5, t)).concat();
    let c = Checkpoint::from_bytes(onnx(&graph)).unwrap();
    assert_eq!(c.format(), Format::Onnx);
    for (name, values) in
        [("raw", vec![7.0, 8.0]), ("typed", vec![1.0, 2.0]), ("halves", vec![0.5, -2.0]), ("long", vec![-3.0])]
    {
        assert_eq!(c.tensor(name).unwrap().to_f32(), values, "{name}");
    }
}

#[test]
fn shards_are_read_through_their_index() {
    let dir = tempfile::tempdir().unwrap();
    let shard = |name: &str, key: &str, value: f32| {
        let header = format!(r#"{{"{key}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        std::fs::write(dir.path().join(name), safetensors(&header, &value.to_le_bytes())).unwrap();
    };
    shard("m-1.safetensors", "a", 1.0);
    shard("m-2.safetensors", "b", 2.0);
    let index = dir.path().join("m.safetensors.index.json");
    std::fs::write(&index, r#"{"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#).unwrap();
    let c = Checkpoint::open(&index).unwrap();
    assert_eq!((c.tensor("a").unwrap().to_f32(), c.tensor("b").unwrap().to_f32()), (vec![1.0], vec![2.0]));
    assert_eq!(Checkpoint::read(&index).unwrap().tensor("b").unwrap().to_f32(), [2.0]);
    std::fs::write(&index, r#"{"weight_map":{"a":"m-1.safetensors","c":"m-2.safetensors"}}"#).unwrap();
    assert!(Checkpoint::open(&index).unwrap_err().to_string().contains("`c`"));
    std::fs::remove_file(dir.path().join("m-2.safetensors")).unwrap();
    assert!(Checkpoint::open(&index).unwrap_err().to_string().contains("m-2.safetensors"));
}

#[test]
fn a_checkpoint_read_into_memory_outlives_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.safetensors");
    let header = r#"{"w":{"dtype":"U8","shape":[100000],"data_offsets":[0,100000]}}"#;
    let values: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&path, safetensors(header, &values)).unwrap();
    let c = Checkpoint::read(&path).unwrap();
    // Truncated in place, which ends a program that has the file mapped.
    std::fs::File::create(&path).unwrap();
    c.release("w");
    assert_eq!(c.tensor("w").unwrap().bytes(), values);
    assert_eq!(c.format(), Format::Safetensors);
    assert!(matches!(Checkpoint::read(&path), Err(Error::UnknownFormat { .. })), "an empty file is no checkpoint");
    assert!(matches!(Checkpoint::read(dir.path()), Err(Error::Unsupported { .. } | Error::Io { .. })));
    assert!(matches!(Checkpoint::read(dir.path().join("absent")), Err(Error::Io { .. })));
}

#[test]
fn a_page_learns_the_layout_from_two_range_requests() {
    let file = safetensors(
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}}"#,
        &[0, 0, 128, 63, 1, 2, 3, 4],
    );
    let length = file.len() as u64;
    let HeaderProgress::Needs(8) = Header::parse_prefix("u", &[], length).unwrap() else { panic!() };
    let HeaderProgress::Needs(n) = Header::parse_prefix("u", &file[..8], length).unwrap() else { panic!() };
    let HeaderProgress::Ready(header) = Header::parse_prefix("u", &file[..n as usize], length).unwrap() else {
        panic!()
    };
    let span = header.span("a").unwrap();
    let fetched = &file[span.range.start as usize..span.range.end as usize];
    assert_eq!(span.view(fetched).unwrap().to_f32(), [1.0]);
    assert!(span.view(&fetched[1..]).is_err());
}

#[test]
fn written_files_read_back_and_incomplete_ones_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out.safetensors");
    let info = |name: &str, dtype, shape: &[usize]| TensorInfo { name: name.into(), dtype, shape: shape.into() };
    let tensors = [info("bytes", DType::U8, &[3]), info("w", DType::F32, &[2])];
    let metadata = [("note".to_owned(), "ä\"\n".to_owned())].into();
    let mut writer = SafetensorsWriter::create(&target, &tensors, &metadata).unwrap();
    writer.write("w", &floats(&[1.0, 2.0])).unwrap();
    assert!(writer.write("w", &[0; 8]).is_err());
    assert!(writer.write("bytes", &[0; 2]).is_err());
    assert!(writer.finish().unwrap_err().to_string().contains("never written"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut writer = SafetensorsWriter::create(&target, &tensors, &metadata).unwrap();
    writer.write("bytes", &[1, 2, 3]).unwrap();
    writer.write("w", &floats(&[1.0, 2.0])).unwrap();
    writer.finish().unwrap();
    let c = Checkpoint::open(&target).unwrap();
    assert_eq!(c.metadata(), &metadata);
    assert_eq!(c.tensor("w").unwrap().to_f32(), [1.0, 2.0]);
    assert_eq!(c.tensor("w").unwrap().bytes().as_ptr() as usize % 4, 0, "wider types must stay aligned");
}

#[test]
fn an_archive_in_a_deeper_folder_is_read() {
    let p = Pickle::one(6, 0, &[6], &[1]);
    let file = zip(&[("x/y/data.pkl", &p.0), ("x/y/data/0", &floats(&VALUES))]);
    assert_eq!(Checkpoint::from_bytes(file).unwrap().names(), ["w"]);
}

#[test]
fn missing_tensor_names_the_nearest() {
    let c = Checkpoint::from_bytes(safetensors(
        r#"{"blocks.0.to_qkv.weight":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
        &[],
    ))
    .unwrap();
    assert!(c.tensor("blocks.0.qkv.weight").unwrap_err().to_string().contains("nearest is `blocks.0.to_qkv.weight`"));
}

#[test]
fn the_shipped_u2netp_has_every_convolution_of_its_network() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/u2netp.safetensors");
    let c = Checkpoint::open(file).unwrap();
    // The large network's manifest has the same keys; batch norms are folded away, and the widths are smaller.
    let manifest = maquette_weights::manifest::Manifest::named("u2net").unwrap();
    let mut needed: Vec<&str> =
        manifest.tensors.keys().map(String::as_str).filter(|n| !n.contains(".bn_s1.")).collect();
    let mut found = c.names();
    needed.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, needed);
    assert_eq!(c.tensor("stage1.rebnconvin.conv_s1.weight").unwrap().shape(), [64, 3, 3, 3]);
    assert_eq!(c.tensor("stage5.rebnconv4.conv_s1.weight").unwrap().shape(), [16, 16, 3, 3]);
    assert_eq!(c.tensor("outconv.weight").unwrap().shape(), [1, 6, 1, 1]);
    assert!(c.infos().all(|i| i.dtype == DType::F32));
    let weights = c.tensor("stage1.rebnconvin.conv_s1.weight").unwrap().to_f32();
    assert!(weights.iter().all(|w| w.is_finite()) && weights.iter().any(|w| w.abs() > 0.01), "trained values");
}

#[test]
fn an_exported_u2net_gets_its_own_names_back_and_another_graph_keeps_its_own() {
    let export = |dilation_of_bottom: u64| {
        let mut graph = Vec::new();
        let stages = [
            (7, false),
            (6, false),
            (5, false),
            (4, false),
            (4, true),
            (4, true),
            (4, true),
            (4, false),
            (5, false),
            (6, false),
            (7, false),
        ];
        let mut dilations = Vec::new();
        for (kind, dilated) in stages {
            let at = |level: u32| if dilated { 1u64 << (level - 1) } else { 1 };
            dilations.push(1);
            dilations.extend((1..kind).map(at));
            dilations.push(if dilated { 8 } else { dilation_of_bottom });
            dilations.extend((1..kind).rev().map(at));
        }
        dilations.extend([1; 7]);
        for (i, dilation) in dilations.into_iter().enumerate() {
            let attribute = [field(1, "dilations"), number(8, dilation), number(8, dilation)].concat();
            let names = [
                field(1, "x"),
                field(1, format!("w{i}")),
                field(1, format!("b{i}")),
                field(4, "Conv"),
                field(5, attribute),
            ];
            graph.extend(field(1, names.concat()));
            graph.extend(field(5, initialiser(&format!("w{i}"), 1, &[1, 1, 1, 1], &floats(&[i as f32]))));
            graph.extend(field(5, initialiser(&format!("b{i}"), 1, &[1], &[0; 4])));
        }
        Checkpoint::from_bytes(onnx(&graph)).unwrap()
    };
    let c = export(2);
    assert_eq!(c.metadata()["network"], "u2net");
    for (name, n) in [
        ("stage1.rebnconvin.conv_s1.weight", 0.0),
        ("stage1.rebnconv7.conv_s1.weight", 7.0),
        ("stage1.rebnconv6d.conv_s1.weight", 8.0),
        ("stage2.rebnconvin.conv_s1.weight", 14.0),
        ("stage1d.rebnconv1d.conv_s1.weight", 111.0),
        ("side1.weight", 112.0),
        ("outconv.weight", 118.0),
    ] {
        assert_eq!(c.tensor(name).unwrap().to_f32(), [n], "{name}");
    }
    assert!(export(1).tensor("w0").is_ok());
}
