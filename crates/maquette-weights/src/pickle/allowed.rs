//! The few names that a torch pickle may call, and what calling them builds.

use super::arena::{Arena, Node, StorageRef, TensorRef, Value, natural};
use crate::DType;

/// A name that a pickle may refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Callable {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch.Size`: the tuple that it is given.
    Size,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: an untyped storage and an element type.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`: the tensor that it is given.
    RebuildParameter,
    /// A storage class; only named inside persistent ids.
    Storage(Option<DType>),
    /// An element type such as `torch.float32`.
    Type(DType),
    /// `torch.device`: where a tensor lived, which we do not need.
    Device,
}

/// The callable of that name; `None` if pickles may not refer to it.
pub(super) fn lookup(module: &str, name: &str) -> Option<Callable> {
    use Callable::{Device, OrderedDict, RebuildParameter, RebuildTensor, RebuildTensorV3, Size, Storage, Type};
    Some(match (module, name) {
        ("collections", "OrderedDict") => OrderedDict,
        ("torch", "Size") => Size,
        ("torch", "device") => Device,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => RebuildParameter,
        ("torch.storage", "UntypedStorage" | "_UntypedStorage") | ("torch", "UntypedStorage") => Storage(None),
        ("torch" | "torch.cuda", name) if name.ends_with("Storage") => {
            Storage(Some(match name.trim_end_matches("Storage") {
                "Double" => DType::F64,
                "Float" => DType::F32,
                "Half" => DType::F16,
                "BFloat16" => DType::BF16,
                "Long" => DType::I64,
                "Int" => DType::I32,
                "Short" => DType::I16,
                "Char" => DType::I8,
                "Byte" => DType::U8,
                "Bool" => DType::Bool,
                _ => return None,
            }))
        }
        ("torch", name) => Type(match name {
            "float64" => DType::F64,
            "float32" => DType::F32,
            "float16" => DType::F16,
            "bfloat16" => DType::BF16,
            "int64" => DType::I64,
            "int32" => DType::I32,
            "int16" => DType::I16,
            "int8" => DType::I8,
            "uint64" => DType::U64,
            "uint32" => DType::U32,
            "uint16" => DType::U16,
            "uint8" => DType::U8,
            "bool" => DType::Bool,
            _ => return None,
        }),
        _ => return None,
    })
}

/// What calling it with `args` builds. `Err` says what is wrong with the arguments.
pub(super) fn call(arena: &mut Arena, callable: Callable, args: &[Value]) -> Result<Value, String> {
    match (callable, args) {
        (Callable::OrderedDict, []) => Ok(arena.add(Node::Dict(Vec::new()))),
        (Callable::OrderedDict, [pairs]) => {
            let items = arena.items(*pairs).ok_or("OrderedDict is given something other than pairs")?;
            let pairs = items.iter().map(|p| match arena.items(*p) {
                Some([key, value]) => Some((*key, *value)),
                _ => None,
            });
            let pairs: Option<Vec<_>> = pairs.collect();
            let pairs = pairs.ok_or("OrderedDict is given something other than pairs")?;
            Ok(arena.add(Node::Dict(pairs)))
        }
        (Callable::Size, [sizes]) if arena.items(*sizes).is_some() => Ok(*sizes),
        (Callable::RebuildParameter, [tensor, ..]) if matches!(arena.node(*tensor), Some(Node::Tensor(_))) => {
            Ok(*tensor)
        }
        (Callable::Device, _) => Ok(Value::None),
        (Callable::RebuildTensor, [storage, offset, shape, stride, ..]) => {
            tensor(arena, *storage, [*offset, *shape, *stride], None)
        }
        (
            Callable::RebuildTensorV3,
            [storage, offset, shape, stride, _, _, Value::Callable(Callable::Type(dtype)), ..],
        ) => tensor(arena, *storage, [*offset, *shape, *stride], Some(*dtype)),
        _ => Err(format!("{callable:?} is called with {} arguments of other kinds than torch writes", args.len())),
    }
}

fn tensor(
    arena: &mut Arena,
    storage: Value,
    [offset, shape, stride]: [Value; 3],
    dtype: Option<DType>,
) -> Result<Value, String> {
    let Some(Node::Storage(storage)) = arena.node(storage) else {
        return Err(format!("a tensor is built on {}, expected a storage", arena.kind(storage)));
    };
    let storage = StorageRef::clone(storage);
    let dtype = dtype.or(storage.dtype).ok_or("a tensor on an untyped storage does not say its element type")?;
    let (Some(offset), Some(shape), Some(stride)) = (natural(offset), arena.naturals(shape), arena.naturals(stride))
    else {
        return Err("a tensor's offset, shape or strides are not whole numbers of zero and up".into());
    };
    if shape.len() != stride.len() || shape.len() > 32 {
        return Err(format!("a tensor has {} sizes and {} strides", shape.len(), stride.len()));
    }
    Ok(arena.add(Node::Tensor(Box::new(TensorRef { storage, dtype, offset, shape, stride }))))
}

/// The storage that a persistent id names: `('storage', class, key, location, count[, view])`.
pub(super) fn persistent(arena: &mut Arena, id: Value) -> Result<Value, String> {
    let storage = match arena.items(id) {
        Some([tag, Value::Callable(Callable::Storage(dtype)), key, _, count, rest @ ..])
            if arena.text(*tag) == Some("storage") =>
        {
            let (Some(key), Some(count)) = (arena.text(*key), natural(*count)) else {
                return Err("a storage's key or size has another kind than torch writes".into());
            };
            let view_offset = match rest.first().and_then(|v| arena.items(*v)) {
                Some([_, offset, _]) => {
                    natural(*offset).ok_or("a storage view's offset is not a whole number of zero and up")?
                }
                _ => 0,
            };
            StorageRef { dtype: *dtype, key: key.to_owned(), count, view_offset }
        }
        _ => return Err(format!("a persistent id is {}, expected a storage as torch writes it", arena.kind(id))),
    };
    Ok(arena.add(Node::Storage(Box::new(storage))))
}
