//! Small writers of checkpoint files, right and wrong, for this crate's tests.
#![allow(dead_code, missing_docs)] // each test binary uses its own part

/// A safetensors file of that header and data.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// A zip archive of stored members, as torch writes them.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let at = file.len() as u32;
        file.extend(b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        for n in [data.len() as u32, data.len() as u32] {
            file.extend(n.to_le_bytes());
        }
        file.extend((name.len() as u16).to_le_bytes());
        file.extend([0, 0]);
        file.extend(name.as_bytes());
        file.extend(*data);
        directory.extend(b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        for n in [data.len() as u32, data.len() as u32] {
            directory.extend(n.to_le_bytes());
        }
        directory.extend((name.len() as u16).to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    for _ in 0..2 {
        file.extend((members.len() as u16).to_le_bytes());
    }
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// A pickle program, opcode by opcode.
#[derive(Clone, Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }
    pub fn op(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend(bytes.as_ref());
        self
    }
    pub fn text(self, text: &str) -> Self {
        let length = (text.len() as u32).to_le_bytes();
        self.op(b"X").op(length).op(text)
    }
    pub fn int(self, value: i64) -> Self {
        self.op([0x8a, 8]).op(value.to_le_bytes())
    }
    pub fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.op(b"("), |p, v| p.int(*v)).op(b"t")
    }
    pub fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n"))
    }
    /// A storage by persistent id.
    pub fn storage(self, class: &str, key: &str, count: i64) -> Self {
        self.op(b"(").text("storage").global("torch", class).text(key).text("cpu").int(count).op(b"tQ")
    }
    /// A storage in the legacy form, which has a sixth member.
    pub fn legacy_storage(self, class: &str, key: &str, count: i64) -> Self {
        self.op(b"(").text("storage").global("torch", class).text(key).text("cpu").int(count).op(b"NtQ")
    }
    /// `_rebuild_tensor_v2` on the storage that `storage` puts there.
    pub fn tensor(self, storage: impl Fn(Self) -> Self, offset: i64, shape: &[i64], stride: &[i64]) -> Self {
        let p = storage(self.global("torch._utils", "_rebuild_tensor_v2").op(b"("));
        let p = p.int(offset).ints(shape).ints(stride).op([0x89]);
        p.global("collections", "OrderedDict").op(b")RtR")
    }
    /// A float tensor in storage `0` of `count` elements.
    pub fn floats(self, count: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Self {
        self.tensor(|p| p.storage("FloatStorage", "0", count), offset, shape, stride)
    }
    /// `{name: tensor}` with one float tensor.
    pub fn one(count: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Self {
        Self::new().op(b"}").text("w").floats(count, offset, shape, stride).op(b"s.")
    }
    /// The program and its storage `0` in a torch archive.
    pub fn archive(&self, storage: &[u8]) -> Vec<u8> {
        zip(&[("archive/data.pkl", &self.0), ("archive/byteorder", b"little"), ("archive/data/0", storage)])
    }
}

/// The three pickles that start a legacy torch file.
pub fn legacy_start(little: bool) -> Vec<u8> {
    let magic = Pickle::new().op([0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]).op(b".");
    let protocol = Pickle::new().op([b'M', 0xe9, 0x03]).op(b".");
    let system = Pickle::new().op(b"}").text("little_endian").op([if little { 0x88 } else { 0x89 }]).op(b"s.");
    [magic.0, protocol.0, system.0].concat()
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A length-delimited protobuf field.
pub fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, bytes.as_ref().len() as u64);
    out.extend(bytes.as_ref());
    out
}

/// A varint protobuf field.
pub fn number(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    varint(&mut out, value);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An initialiser with raw bytes.
pub fn initialiser(name: &str, kind: u64, dims: &[u64], raw: &[u8]) -> Vec<u8> {
    let dims = dims.iter().map(|d| number(1, *d));
    [dims.collect::<Vec<_>>().concat(), number(2, kind), field(8, name), field(9, raw)].concat()
}

/// An ONNX model with that graph.
pub fn onnx(graph: &[u8]) -> Vec<u8> {
    [number(1, 6), field(2, "test"), field(7, graph)].concat()
}
