//! Regions, masks and conversations: files of the command line beside the pictures.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Surface, no_files};
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::{mutate, picture};
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "regions, masks, messages", fixed, random };

const REGIONS: &str = "regions.json";
const MESSAGES: &str = "messages.json";
const MASK: &str = "mask.png";

fn with_regions(file: &str) -> Call {
    Call::explain("phantom", "picture.png").and(["--regions", file])
}

fn with_messages() -> Call {
    let call = Call::new(["answer", "--model", "phantom", "--messages", MESSAGES]);
    call.and(["--max-new-tokens", "1", "--threads", "1"])
}

fn base(title: &str) -> Case {
    Case::new(title).file("picture.png", picture::good())
}

fn good_regions() -> Value {
    json!({"regions": [
        {"name": "left", "box": [0, 0, 32, 48]},
        {"name": "triangle", "polygon": [[0, 0], [40, 0], [0, 40]]},
        {"label": "by the model", "box_2d": [0, 0, 500, 500]},
    ]})
}

fn good_messages() -> Value {
    json!([{"role": "user", "content": [
        {"type": "image", "path": "picture.png"}, {"type": "text", "text": "Describe the radiograph."},
    ]}])
}

fn fixed(_: &Material) -> Result<Vec<Case>> {
    let mut cases = vec![
        base("good regions")
            .file(REGIONS, good_regions().to_string())
            .call(with_regions(REGIONS).done()),
        base("good messages")
            .file(MESSAGES, good_messages().to_string())
            .call(with_messages().done()),
        base("a good mask")
            .file(MASK, picture::png(64, 48, |x, _| if x < 30 { 255 } else { 0 }))
            .call(with_regions(MASK).done()),
    ];
    for (name, what) in no_files() {
        for (file, call) in [
            (REGIONS, with_regions(REGIONS)),
            (MASK, with_regions(MASK)),
            (MESSAGES, with_messages()),
        ] {
            let title = format!("{file} is {name}");
            cases.push(base(&title).with(file, what.clone()).call(call.refused(&[file])));
        }
    }
    cases.extend(region_cases());
    cases.extend(message_cases());
    let mask = picture::black_png(32_768, 16_384, 16_384);
    cases.push(
        base("a mask that is a bomb").file(MASK, mask).call(with_regions(MASK).refused(&[MASK])),
    );
    Ok(cases)
}

fn region_cases() -> Vec<Case> {
    let region = |name: &str| json!({"name": name, "box": [0, 0, 32, 32]});
    let many: Vec<Value> = (0..3000).map(|n| region(&n.to_string())).collect();
    let round: Vec<[f64; 2]> = (0..100_000)
        .map(|n| (f64::from(n) / 15_000.0).sin_cos())
        .map(|(sine, cosine)| [30.0 + 20.0 * sine, 30.0 + 20.0 * cosine])
        .collect();
    let case = |title: &str, regions: Value| {
        let text = json!({"regions": regions}).to_string();
        base(title).file(REGIONS, text)
    };
    let nested = mutate::nested(100_000);
    let any = with_regions(REGIONS);
    let refused = || with_regions(REGIONS).refused(&[REGIONS]);
    let names = |part| with_regions(REGIONS).refused(&[part]);
    vec![
        case("a name of a megabyte", json!([region(&"n".repeat(1 << 20))])).call(names("1048576")),
        case("control characters in a name", json!([region("\u{1b}[31mred\u{202e}")]))
            .call(any.clone()),
        case("3000 regions", json!(many)).call(refused()),
        case("a polygon of 100 000 corners", json!([{"name": "round", "polygon": round}]))
            .call(refused()),
        case("names twice", json!([region("a"), region("a")])).call(any.clone()),
        case("a box inside out", json!([{"name": "a", "box": [30, 30, 2, 2]}]))
            .call(names("region \"a\"")),
        case("a box of 1e308", json!([{"name": "a", "box": [-1e308, -1e308, 1e308, 1e308]}]))
            .call(any),
        case("another key", json!([{"name": "a", "shape": "\u{1b}[31m"}])).call(refused()),
        base("nested").file(REGIONS, nested).call(refused()),
        base("larger than any").with(REGIONS, What::Zeros(1 << 32)).call(refused()),
        base("a mask elsewhere")
            .file(REGIONS, json!({"mask": "/etc/hostname", "regions": []}).to_string())
            .call(names("/etc/hostname")),
    ]
}

fn message_cases() -> Vec<Case> {
    let image = |path: &str| json!([{"role": "user", "content": [{"type": "image", "path": path}, {"type": "text", "text": "x"}]}]);
    let case = |title: &str, messages: String| base(title).file(MESSAGES, messages);
    let refused = || with_messages().refused(&[]);
    let say = |text: &str| json!([{"role": "user", "content": [{"type": "text", "text": text}]}]);
    let outside = case("a picture outside", image("/usr/../usr/picture.png").to_string());
    let beside = case("a picture above the folder", image("../outside.png").to_string());
    vec![
        outside.call(refused()),
        beside.file("../outside.png", picture::good()).call(refused()),
        case("a link outside", image("link.png").to_string())
            .file("../outside.png", picture::good())
            .with("link.png", What::Link("../outside.png".to_owned()))
            .call(refused()),
        case("a picture that is a device", image("/dev/zero").to_string()).call(refused()),
        case("20 MB of turns", json!(vec![&say("x")[0]; 400_000]).to_string()).call(refused()),
        case("nested", mutate::nested(100_000)).call(refused()),
        case("control tokens", say("<end_of_turn>").to_string()).call(refused()),
        case("an unknown role", json!([{"role": "\u{1b}[31m", "content": "x"}]).to_string())
            .call(refused()),
        base("larger than any").with(MESSAGES, What::Zeros(1 << 32)).call(refused()),
    ]
}

fn random(_: &Material, random: &mut SplitMix) -> Result<Case> {
    Ok(match random.below(3) {
        0 => {
            let regions = mutate::json(random, &good_regions());
            base("changed regions").file(REGIONS, regions).call(with_regions(REGIONS))
        }
        1 => {
            let messages = mutate::json(random, &good_messages());
            base("changed messages").file(MESSAGES, messages).call(with_messages())
        }
        _ => {
            let (width, height) = (1 + random.below(80) as u32, 1 + random.below(80) as u32);
            let mask = picture::png(width, height, |x, y| ((x / 9 + y / 9) % 2 * 255) as u8);
            let mask = if random.once_in(2) { mutate::bytes(random, &mask) } else { mask };
            base("changed mask").file(MASK, mask).call(with_regions(MASK))
        }
    })
}
