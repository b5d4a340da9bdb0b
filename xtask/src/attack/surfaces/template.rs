//! `chat_template.jinja`: programs that run without end, grow without end or nest without end.

use anyhow::Result;

use super::{Surface, answer, checkpoint_with, no_files};
use crate::attack::case::{Case, What};
use crate::attack::material::Material;
use crate::attack::mutate::{self, TEXTS};
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "chat_template.jinja", fixed, random };

const FILE: &str = "chat_template.jinja";

fn fixed(material: &Material) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut refused = |title: &str, what| {
        let case = checkpoint_with(title, FILE, what);
        cases.push(case.call(answer().refused(&[FILE])));
    };
    for (name, what) in no_files() {
        refused(name, what);
    }
    refused("larger than any", What::Zeros(1 << 31));
    for template in hostile() {
        let title: String = template.chars().take(60).collect();
        refused(&title, What::File(template.into_bytes()));
    }
    // Whatever a template says, the good one around it still works.
    let good = material.text(FILE)?;
    let case =
        checkpoint_with("a comment", FILE, What::File(format!("{{# {good} #}}{good}").into()));
    cases.push(case.call(answer()));
    Ok(cases)
}

/// Templates that no time, memory or stack is enough for, or that never give a prompt with a picture.
fn hostile() -> Vec<String> {
    let doubling = "{% set x = x ~ x %}".repeat(20);
    let mut templates = vec![
        format!("{{% set x = 'a' * 1000000 %}}{doubling}{{{{ x }}}}"),
        "{{ ''.join(['x'*1000000]*100000) }}".to_owned(),
        "{{ '%9999999999d'|format(1) }}".to_owned(),
        "{{ ('x\\n' * 100000)|indent(100000) }}".to_owned(),
        "{{ (range(99999)|list|slice(1000000000)|list)|length }}".to_owned(),
        "{{ ('a' * 100000)|replace('a', 'b' * 100000)|length }}".to_owned(),
        "{{ [1]|batch(10000000000, 0)|list|length }}".to_owned(),
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}".to_owned(),
        "{% set l = range(99999)|list %}{% for i in l %}{% if l == l and i in l %}{% endif %}{% endfor %}"
            .to_owned(),
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ range(99999)|sum }}{% endfor %}{% endfor %}"
            .to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{{ raise_exception('\\x1b]0;title\\x07') }}".to_owned(),
        "{{ raise_exception('\u{1b}[31m\u{202e}red') }}".to_owned(),
        "{{ raise_exception('no ' * 400000) }}".to_owned(),
        "{{ 'no picture' }}".to_owned(),
        "{% include '/etc/hostname' %}".to_owned(),
        "{{ undefined.attribute }}".to_owned(),
        "{% set x = [] %}{% for i in range(3000) %}{% set x = [x] %}{% endfor %}{{ x }}".to_owned(),
    ];
    for (open, piece, close) in [
        ("1", "+1", ""),
        ("", "not ", "1"),
        ("", "-", "1"),
        ("x", ".a", ""),
        ("x", "|f", ""),
        ("1", "~1", ""),
        ("1", "**1", ""),
        ("", "[", "1"),
        ("", "(", "1"),
        ("", "{'a':", "1"),
        ("x", "[0]", ""),
        ("1", " if 1 else 1", ""),
    ] {
        templates.push(format!("{{{{ {open}{}{close} }}}}", piece.repeat(20_000)));
    }
    templates.push("{% if 1 %}".repeat(20_000) + &"{% endif %}".repeat(20_000));
    templates.push("{% for x in [1] %}".repeat(5_000) + &"{% endfor %}".repeat(5_000));
    templates
}

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    let good = material.text(FILE)?;
    let template = match random.below(6) {
        0 => mutate::bytes(random, good.as_bytes()),
        1 => random.pick(&hostile()).clone().into_bytes(),
        2 => format!("{good}{}", statements(random, 3)).into_bytes(),
        3 => format!("{}{good}", statements(random, 3)).into_bytes(),
        _ => statements(random, 4).into_bytes(),
    };
    let case = checkpoint_with("random template", FILE, What::File(template));
    Ok(case.call(answer()))
}

/// A few statements, nested up to `depth`.
fn statements(random: &mut SplitMix, depth: usize) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(4) {
        text += &statement(random, depth);
    }
    text
}

fn statement(random: &mut SplitMix, depth: usize) -> String {
    if depth == 0 {
        return format!("{{{{ {} }}}}", expression(random, 1));
    }
    let value = expression(random, depth);
    match random.below(8) {
        0 => format!("{{% if {value} %}}{}{{% endif %}}", statements(random, depth - 1)),
        1 => format!("{{% for y in {value} %}}{}{{% endfor %}}", statements(random, depth - 1)),
        2 => format!("{{% set x = {value} %}}"),
        3 => format!(
            "{{% set ns = namespace(a={value}) %}}{{% set ns.b = {} %}}",
            expression(random, depth)
        ),
        4 => format!(
            "{{% macro m(a) %}}{}{{% endmacro %}}{{{{ m({value}) }}}}",
            statements(random, depth - 1)
        ),
        5 => format!("{{% filter upper %}}{}{{% endfilter %}}", statements(random, depth - 1)),
        6 => (*random.pick(&TEXTS)).to_owned(),
        _ => format!("{{{{ {value} }}}}"),
    }
}

const NAMES: [&str; 12] = [
    "messages",
    "bos_token",
    "eos_token",
    "add_generation_prompt",
    "x",
    "y",
    "ns",
    "loop",
    "m",
    "range",
    "namespace",
    "raise_exception",
];
const FILTERS: [&str; 30] = [
    "list",
    "length",
    "join",
    "replace('a', 'aa')",
    "trim",
    "upper",
    "indent(99999)",
    "batch(3)",
    "slice(99)",
    "format(1)",
    "tojson",
    "items",
    "sort",
    "unique",
    "reverse",
    "first",
    "last",
    "sum",
    "map('upper')",
    "select",
    "reject('none')",
    "groupby('role')",
    "min",
    "max",
    "string",
    "int",
    "float",
    "default('x')",
    "dictsort",
    "attr('role')",
];
const OPERATORS: [&str; 14] =
    ["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "not in", "and", "or"];

fn expression(random: &mut SplitMix, depth: usize) -> String {
    if depth == 0 {
        return match random.below(5) {
            0 => mutate::number(random).to_owned(),
            1 => format!("'{}'", random.pick(&TEXTS).replace(['\'', '\\'], "")),
            2 => format!("range({})", random.pick(&["3", "99", "99999", "1e9"])),
            _ => (*random.pick(&NAMES)).to_owned(),
        };
    }
    let left = expression(random, depth - 1);
    match random.below(9) {
        0 | 1 => format!("({left} {} {})", random.pick(&OPERATORS), expression(random, depth - 1)),
        2 | 3 => format!("{left}|{}", random.pick(&FILTERS)),
        4 => format!("[{left}, {}]", expression(random, depth - 1)),
        5 => format!("{{'a': {left}}}"),
        6 => format!("{left}[{}]", expression(random, depth - 1)),
        7 => format!("{left}({})", expression(random, depth - 1)),
        _ => format!("({left} * {})", random.pick(&["2", "1000", "1000000"])),
    }
}
