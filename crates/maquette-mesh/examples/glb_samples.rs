//! Writes GLB files over all writer options into a folder, for outside validators and viewers:
//! `cargo run -p maquette-mesh --example glb_samples -- FOLDER`. File names tell the triangle and image counts expected.

use std::path::Path;

use maquette_mesh::glb::{GlbOptions, Texture, TextureFormat, write};
use maquette_mesh::{TriangleMesh, shapes};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: glb_samples FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    let bodies = [
        ("box", shapes::cuboid([0.5, 0.7, 0.9])),
        ("torus", shapes::torus(48, 24, 0.3, 0.12)),
        ("wide", shapes::sphere(260, 256, 0.5)),
        ("triangle", TriangleMesh::new(vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], vec![[0, 1, 2]])),
    ];
    let formats = [("png", TextureFormat::Png), ("jpeg", TextureFormat::Jpeg(88)), ("webp", TextureFormat::WebP)];
    let mut count = 0;
    for (name, body) in &bodies {
        for attributes in 0..8u32 {
            let (normals, textured, colors) = (attributes & 1 != 0, attributes & 2 != 0, attributes & 4 != 0);
            for packing in 0..4u32 {
                if *name == "wide" && !(attributes == 3 || attributes == 5) {
                    continue;
                }
                let (format_name, format) = formats[count % 3];
                let mut options = GlbOptions {
                    texture_format: format,
                    quantize: packing & 1 != 0,
                    meshopt: packing & 2 != 0,
                    reference_material: count % 5 == 0,
                    ..GlbOptions::default()
                };
                options.extras.insert("seed".into(), json!(count));
                let mesh = dress(body, normals, textured, colors);
                let texture = textured.then(checkerboard);
                let file = format!(
                    "{name}-{attributes}-{packing}-{format_name}.t{}.i{}.glb",
                    body.faces.len(),
                    u32::from(textured)
                );
                std::fs::write(Path::new(&folder).join(file), write(&mesh, texture.as_ref(), &options)?)?;
                count += 1;
            }
        }
    }
    println!("{count} files");
    Ok(())
}

fn dress(body: &TriangleMesh, normals: bool, textured: bool, colors: bool) -> TriangleMesh {
    let mut mesh = body.clone();
    if normals {
        mesh.compute_normals();
    }
    if textured {
        mesh.uvs = mesh.positions.iter().map(|p| [p[0] * 0.5 + 0.5, p[1] * 0.5 + 0.5]).collect();
    }
    if colors {
        mesh.colors = mesh.positions.iter().map(|p| p.map(|x| x * 0.5 + 0.5)).collect();
    }
    mesh
}

fn checkerboard() -> Texture {
    let size = 64u32;
    let pixel = |i: u32| if (i % size / 8 + i / size / 8).is_multiple_of(2) { [230, 120, 40] } else { [40, 90, 200] };
    Texture { width: size, height: size, rgb: (0..size * size).flat_map(pixel).collect() }
}
