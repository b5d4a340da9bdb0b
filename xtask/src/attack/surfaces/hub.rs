//! A hub, mirror or proxy that means harm.

use anyhow::Result;
use serde_json::json;

use super::Surface;
use crate::attack::case::{Call, Case};
use crate::attack::hub::{MODEL, Mischief};
use crate::attack::material::Material;
use crate::attack::mutate;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "hub", fixed, random };

fn inspect() -> Call {
    Call::new(["inspect", "--model", MODEL])
}

fn of(mischief: Mischief, call: Call) -> Case {
    let title: String = format!("{mischief:?}").chars().take(120).collect();
    Case { hub: Some(mischief), ..Case::new(title).call(call) }
}

fn fixed(_: &Material) -> Result<Vec<Case>> {
    let mut cases =
        vec![of(Mischief::Good, inspect().done()), of(Mischief::RedirectTwice, inspect().done())];
    // Names in the cache come from the listing: what these headers say is used for nothing.
    for header in ["ETag", "X-Linked-Etag"] {
        for tag in ["../../../x", "{root}/x", "..", "a/b", ".", "a\\\"b"] {
            cases.push(of(Mischief::Tag(header, tag), inspect().done()));
        }
    }
    let mut refused = |mischief| cases.push(of(mischief, inspect().refused(&[])));
    for status in [429, 500, 503, 418] {
        refused(Mischief::Status(status, "\u{1b}[31mno\u{202e}"));
    }
    refused(Mischief::Status(200, "not JSON"));
    refused(Mischief::LongError(500));
    refused(Mischief::LongError(403));
    refused(Mischief::RedirectLoop);
    refused(Mischief::EndlessPages);
    refused(Mischief::EndlessListing);
    refused(Mischief::EndlessFile);
    refused(Mischief::GzipBomb);
    refused(Mischief::OtherBytes);
    refused(Mischief::HalfFiles);
    for commit in ["../../../x", "", "\u{1b}[31m", "main"] {
        refused(Mischief::Commit(commit));
    }
    for path in ["../../../x.json", "/etc/x.json", "a/../../x.safetensors", "\u{1b}[31m.json"] {
        let entry = json!({"type": "file", "oid": "00", "size": 3, "path": path});
        refused(Mischief::Listing(json!([entry]).to_string()));
    }
    refused(Mischief::Listing(mutate::nested(100_000)));
    let entry = json!({"type": "file", "oid": "00", "size": u64::MAX, "path": "config.json"});
    refused(Mischief::Listing(json!([entry]).to_string()));
    Ok(cases)
}

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    // Not among the fixed cases: all that comes of it is a wait of two minutes.
    if random.once_in(50) {
        return Ok(of(Mischief::Silent, inspect().refused(&[])));
    }
    let entries = ["config.json", "tokenizer.json", "model.safetensors"].map(|name| {
        let size = material.file(name).map_or(0, |bytes| bytes.len());
        json!({"type": "file", "oid": "00", "size": size, "path": name})
    });
    let listing = mutate::json(random, &json!(entries));
    let listing = String::from_utf8_lossy(&listing).into_owned();
    Ok(of(Mischief::Listing(listing), inspect()))
}
