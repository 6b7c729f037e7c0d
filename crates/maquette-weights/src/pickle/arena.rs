//! Values that a pickle builds. Containers live in one flat list and refer to each other by index, so that cycles and deep
//! chains, which a hostile program can build at will, cost nothing to walk away from: dropping the arena never recurses.

use crate::DType;

/// A value on the machine's stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// The ten-byte number that legacy files start with.
    Magic,
    Float,
    Callable(super::allowed::Callable),
    Node(u32),
}

/// A value with contents.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Bytes,
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Box<StorageRef>),
    Tensor(Box<TensorRef>),
}

/// A storage named by a persistent id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StorageRef {
    /// `None` for an untyped storage, whose size is in bytes.
    pub(super) dtype: Option<DType>,
    pub(super) key: String,
    /// Elements, or bytes where untyped.
    pub(super) count: u64,
    /// Elements to skip in the storage `key` (legacy views).
    pub(super) view_offset: u64,
}

/// A tensor as its reduction describes it, unchecked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorRef {
    pub(super) storage: StorageRef,
    pub(super) dtype: DType,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) stride: Vec<u64>,
}

/// All nodes of one program.
#[derive(Debug, Default)]
pub(super) struct Arena {
    nodes: Vec<Node>,
}

impl Arena {
    pub(super) fn add(&mut self, node: Node) -> Value {
        // The program's length bounds the number of nodes far below u32.
        self.nodes.push(node);
        Value::Node((self.nodes.len() - 1) as u32)
    }

    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(i) => self.nodes.get(i as usize),
            _ => None,
        }
    }

    pub(super) fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(i) => self.nodes.get_mut(i as usize),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Text(s)) => Some(s),
            _ => None,
        }
    }

    pub(super) fn items(&self, value: Value) -> Option<&[Value]> {
        match self.node(value) {
            Some(Node::Tuple(v) | Node::List(v)) => Some(v),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value) {
            Some(Node::Dict(v)) => Some(v),
            _ => None,
        }
    }

    /// A list of numbers none of which is negative.
    pub(super) fn naturals(&self, value: Value) -> Option<Vec<u64>> {
        self.items(value)?.iter().map(|v| natural(*v)).collect()
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self, value: Value) -> &'static str {
        match value {
            Value::None => "None",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Magic => "a whole number",
            Value::Float => "a number",
            Value::Callable(_) => "a class or function",
            Value::Node(_) => match self.node(value) {
                Some(Node::Text(_)) => "a string",
                Some(Node::Bytes) => "bytes",
                Some(Node::Tuple(_)) => "a tuple",
                Some(Node::List(_)) => "a list",
                Some(Node::Dict(_)) => "a dictionary",
                Some(Node::Storage(_)) => "a storage",
                Some(Node::Tensor(_)) => "a tensor",
                None => "nothing",
            },
        }
    }
}

pub(super) fn natural(value: Value) -> Option<u64> {
    match value {
        Value::Int(i) => u64::try_from(i).ok(),
        _ => None,
    }
}
