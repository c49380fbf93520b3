//! Every transform against Pillow and torchvision; the goldens are made by `tests/golden/transforms.py`.

use super::resample::{Interpolation, Window, cut, resample};
use super::{Image, Item, Transform, Transforms, color, flip, rotation};
use crate::parts::Family;
use crate::parts::sources::{Sources, decode};
use crate::world::rng::Key;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/transforms")
}

/// An item of the goldens, read with our own source.
fn item(file: &str, name: &str) -> Item {
    let row = Sources::rows().iter().find(|row| row.kind.name == "npz").unwrap();
    let source = (row.build)(&json!({"path": file, "inputs": name})).unwrap();
    source.open(&folder()).unwrap().load(0).unwrap()
}

/// An image of the goldens.
fn golden(file: &str, name: &str) -> Image {
    item(file, name).into_image(name).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the configuration as a literal")]
fn build(kind: &str, config: Value) -> Box<dyn Transform> {
    (Transforms::rows().iter().find(|row| row.kind.name == kind).unwrap().build)(&config).unwrap()
}

fn apply(kind: &str, config: Value, image: &Image) -> Image {
    let item = Item::Image(image.clone());
    let transform = build(kind, config);
    let ty = transform.shape(&item.ty()).unwrap();
    let item = transform.apply(item, &mut Key::new(0).rng()).unwrap();
    assert_eq!(item.ty(), ty, "{kind}");
    item.into_image(kind).unwrap()
}

#[track_caller]
fn near(made: &Image, name: &str, tolerance: u8) {
    near_in("pixels.npz", made, name, tolerance);
}

#[track_caller]
fn near_in(file: &str, made: &Image, name: &str, tolerance: u8) {
    let wanted = golden(file, name);
    assert_eq!((made.height, made.width, made.channels), (wanted.height, wanted.width, wanted.channels), "{name}");
    let worst = made.data.iter().zip(&wanted.data).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    assert!(worst <= tolerance, "{name}: {worst} levels off, {tolerance} allowed");
}

#[test]
fn resize_is_within_a_level_of_pillow() {
    for name in ["wide", "tall"] {
        let image = golden("pixels.npz", name);
        for (mode, tolerance) in [("bilinear", 1), ("nearest", 0), ("bicubic", 0)] {
            for size in [13, 40] {
                let config = json!({"size": size, "interpolation": mode});
                near(&apply("resize", config, &image), &format!("resize {name} {size} {mode}"), tolerance);
            }
            let config = json!({"size": [23, 15], "interpolation": mode});
            near(&apply("resize", config, &image), &format!("resize {name} 23x15 {mode}"), tolerance);
        }
        let plain = apply("resize", json!({"size": 13, "antialias": false}), &image);
        near(&plain, &format!("resize plain {name} 13 bilinear"), 1);
        let grey = golden("pixels.npz", &format!("grey {name}"));
        near(&apply("resize", json!({"size": 13}), &grey), &format!("resize grey {name} 13 bilinear"), 1);
    }
}

/// Both directions and their mixtures, strips, and sizes on both sides of the rule by which Pillow orders its passes.
#[test]
fn passes_run_in_pillows_order() {
    let targets: [(&str, &[[usize; 2]]); 3] = [
        (
            "noise",
            &[[70, 61], [12, 11], [60, 9], [9, 60], [36, 28], [35, 28], [34, 28], [17, 19], [16, 19], [37, 8], [8, 29]],
        ),
        ("row", &[[3, 20], [1, 200], [7, 31], [30, 4], [2, 90]]),
        ("column", &[[20, 3], [200, 1], [31, 7], [4, 30], [88, 2], [87, 2]]),
    ];
    for (source, sizes) in targets {
        let image = golden("resized.npz", source);
        for [height, width] in sizes {
            for (mode, tolerance) in [("bilinear", 1), ("bicubic", 0)] {
                let made = apply("resize", json!({"size": [height, width], "interpolation": mode}), &image);
                near_in("resized.npz", &made, &format!("{mode} {source} {height}x{width}"), tolerance);
            }
        }
    }
    // Windows have no neighbours: the same as the crop by itself.
    let image = golden("resized.npz", "noise");
    let window = Window { top: 5, left: 3, height: 21, width: 17 };
    let crop = cut(&image, 5, 3, (21, 17));
    for mode in [Interpolation::Bilinear, Interpolation::Bicubic] {
        let of = |image: &Image, window| resample(image, window, (30, 11), mode, true).unwrap();
        assert_eq!(of(&image, window).data, of(&crop, Window::whole(&crop)).data);
    }
}

#[test]
fn crops_and_flips_are_torchvisions() {
    for name in ["wide", "tall"] {
        let image = golden("pixels.npz", name);
        for [h, w] in [[20, 20], [33, 25], [45, 36], [50, 50]] {
            near(&apply("center_crop", json!({"size": [h, w]}), &image), &format!("center_crop {name} {h}x{w}"), 0);
        }
        near(&cut(&image, 1 - 4, 2 - 3, (40, 30)), &format!("crop {name}"), 0);
        let window = Window { top: 5, left: 7, height: 24, width: 17 };
        let resized = resample(&image, window, (16, 24), Interpolation::Bilinear, true).unwrap();
        near(&resized, &format!("resized_crop {name}"), 1);
        let mut mirrored = image.clone();
        flip::horizontal(&mut mirrored);
        near(&mirrored, &format!("horizontal_flip {name}"), 0);
        let mut mirrored = image.clone();
        flip::vertical(&mut mirrored);
        near(&mirrored, &format!("vertical_flip {name}"), 0);
        near(&apply("horizontal_flip", json!({"p": 1.0}), &image), &format!("horizontal_flip {name}"), 0);
        near(&apply("vertical_flip", json!({"p": 1.0}), &image), &format!("vertical_flip {name}"), 0);
        near(&apply("vertical_flip", json!({"p": 0.0}), &image), name, 0);
        near(&apply("grayscale", json!({}), &image), &format!("grey {name}"), 0);
    }
}

#[test]
fn rotation_is_pillows() {
    for name in ["wide", "tall"] {
        for angle in ["0.0", "17.5", "-33.0", "90.0", "180.0", "270.0", "359.5"] {
            let turned = rotation::rotate(golden("pixels.npz", name), angle.parse().unwrap());
            near(&turned, &format!("rotation {name} {angle}"), 0);
        }
    }
    for angle in ["90.0", "180.0", "270.0", "45.0"] {
        let turned = rotation::rotate(golden("pixels.npz", "square"), angle.parse().unwrap());
        near(&turned, &format!("rotation square {angle}"), 0);
    }
}

#[test]
fn colours_are_pillows() {
    let image = golden("pixels.npz", "square");
    let changed = |change: &dyn Fn(&mut Image)| {
        let mut image = image.clone();
        change(&mut image);
        image
    };
    for factor in ["0.0", "0.3", "0.77", "1.0", "1.6"] {
        let number: f32 = factor.parse().unwrap();
        near(&changed(&|image| color::brightness(image, number)), &format!("brightness {factor}"), 0);
        near(&changed(&|image| color::contrast(image, number)), &format!("contrast {factor}"), 0);
        near(&changed(&|image| color::saturation(image, number)), &format!("saturation {factor}"), 0);
    }
    for factor in ["-0.5", "-0.21", "0.0", "0.03", "0.5"] {
        let number: f64 = factor.parse().unwrap();
        near(&changed(&|image| color::hue(image, number)), &format!("hue {factor}"), 0);
    }
}

#[test]
fn tensors_are_torchs() {
    let image = golden("pixels.npz", "square");
    let mut made = Item::Image(image);
    let chain =
        [("to_tensor", json!({})), ("normalize", json!({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}))];
    for (kind, config) in chain {
        made = build(kind, config).apply(made, &mut Key::new(0).rng()).unwrap();
        assert!(made == item("floats.npz", kind), "{kind} differs from torch's bits");
    }
}

#[test]
fn files_of_every_mode_decode_as_pillow_converts_them() {
    let mut seen = 0;
    for path in crate::world::list_dir(&folder().join("images")).unwrap() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let image = decode(&crate::world::read(&path).unwrap(), &path).unwrap();
        let wanted = golden("decoded.npz", name);
        assert_eq!((image.height, image.width), (wanted.height, wanted.width), "{name}");
        let off: Vec<u8> = image.data.iter().zip(&wanted.data).map(|(a, b)| a.abs_diff(*b)).collect();
        let worst = off.iter().max().unwrap();
        // PNG is exact. JPEG decoders may round the inverse cosine transform and the colour conversion differently.
        let allowed = if path.extension().is_some_and(|extension| extension == "png") { 0 } else { 4 };
        assert!(*worst <= allowed, "{name}: {worst} levels off");
        seen += 1;
    }
    assert_eq!(seen, 15);
}
