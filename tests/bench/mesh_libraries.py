"""What the libraries of the original take for the mesh of `asset times` (crates/maquette/examples/asset/scene.rs).

    pip install pyvista xatlas pymeshfix
    OMP_NUM_THREADS=1 python tests/bench/mesh_libraries.py [faces=400000] [target=20000]

Prints processor seconds: VTK's decimation through pyvista, MeshFix' filling of small boundaries with refinement, and xatlas
with its defaults, one after the other as the original has them.
"""

import sys
import time

import numpy as np
import pymeshfix
import pyvista
import xatlas


def torus_faces(around, across):
    i, j = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    at = lambda i, j: (i % around) * across + j % across
    a, b, c, d = at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)
    return np.stack([a, b, c, a, c, d], -1).reshape(-1, 3)


def torus(around, across, minor, r_of):
    a = 2 * np.pi * np.repeat(np.arange(around), across) / around
    b = 2 * np.pi * np.tile(np.arange(across), around) / across
    m = minor(a, b)
    r = r_of + m * np.cos(b)
    return np.stack([r * np.cos(a), r * np.sin(a), m * np.sin(b)], -1).astype(np.float32)


def scene(faces):
    across = max(8, int(np.sqrt(faces * 11 / 24 * 0.8)))
    around = max(8, int(faces * 11 / 24 / across))
    bumps = lambda a, b: 0.13 + 0.008 * np.sin(19 * a) * np.cos(11 * b) + 0.01 * np.sin(3 * a + 2 * b)
    outer = torus(around, across, bumps, 0.32)
    side = max(8, int(np.sqrt(faces / 24)))
    inner = torus(side, side, lambda a, b: np.full_like(a, 0.04), 0.32)
    indices = np.concatenate([torus_faces(around, across), torus_faces(side, side) + len(outer)])
    return np.concatenate([outer, inner]), indices


def timed(name, work):
    begun, spent = time.perf_counter(), time.process_time()
    result = work()
    print(f"{name:44} {time.process_time() - spent:8.3f} s of processor, {time.perf_counter() - begun:8.3f} s")
    return result


def main():
    arguments = dict(a.split("=") for a in sys.argv[1:])
    faces, target = int(arguments.get("faces", 400_000)), int(arguments.get("target", 20_000))
    vertices, indices = scene(faces)
    print(f"{len(indices)} faces; pyvista {pyvista.__version__}, pymeshfix {pymeshfix.__version__}")
    mesh = pyvista.PolyData(vertices, np.insert(indices, 0, 3, axis=1))
    small = timed("pyvista: decimate", lambda: mesh.decimate(1 - target / len(indices)))
    points, triangles = np.asarray(small.points), small.faces.reshape(-1, 4)[:, 1:]
    print(f"  {len(triangles)} faces, volume x {small.volume / mesh.volume:.6f}")

    def fill():
        fix = pymeshfix.PyTMesh()
        fix.load_array(points.astype(np.float64), triangles.astype(np.int32))
        fix.fill_small_boundaries(nbe=250, refine=True)
        return fix.return_arrays()

    points, triangles = timed("pymeshfix: fill small boundaries, refine", fill)
    print(f"  {len(triangles)} faces")

    def unwrap():
        atlas = xatlas.Atlas()
        atlas.add_mesh(points.astype(np.float32), triangles.astype(np.uint32))
        atlas.generate()
        return atlas

    atlas = timed("xatlas: defaults", unwrap)
    print(f"  {atlas.chart_count} charts, coverage {100 * atlas.utilization:.0f} %")


if __name__ == "__main__":
    main()
