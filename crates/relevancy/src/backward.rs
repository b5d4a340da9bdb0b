//! How a reverse sweep goes back through what is not linear.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

/// How a reverse sweep goes back through what is not linear in a model: by the gradient, or by a rule of layer-wise relevance propagation
/// (LRP).
///
/// LRP hands the explained scalar z down as relevance. Both rules here are written as changed pull-backs: the sweep carries a cotangent
/// `x̄`, an array of the shape of x, in place of the gradient, and the relevance of x is `x ⊙ x̄`, element by element. So gradient × input
/// of such a sweep ([`Method::InputGradient`](crate::Method)), `Σ_D x⊙x̄` of a token, is its LRP score. The relevancy of such a sweep is
/// `Ā = fuse_h[(A ⊙ ŌVᵀ)⁺]` with the cotangent Ō at the heads' output; that combination is this project's, not of the papers.
///
/// Linear maps, residual connections, the scale of embeddings and rotations are pulled back in the ordinary way by all three, so the rules
/// differ in four places (ȳ is the cotangent at the output):
///
/// | | [`Gradient`](Self::Gradient) | [`CpLrp`](Self::CpLrp) | [`AttnLrp`](Self::AttnLrp) |
/// |---|---|---|---|
/// | norm `y = σ(x)·c(x)⊙g` | the gradient | σ constant: `x̄ = c(ȳ⊙g)·σ` | σ constant |
/// | gate `y = φ(a)⊙u` | the gradient | φ(a) constant: `ū = ȳ⊙φ(a)`, `ā = 0` | halves: `ū = ½ȳ⊙φ(a)`, `ā = ½ȳ⊙u⊙φ(a)/a` |
/// | activation `y = φ(x)` | the gradient | `x̄ = ȳ⊙φ(x)/x` | `x̄ = ȳ⊙φ(x)/x` |
/// | attention `O = softmax(QKᵀ)V` | the gradient | softmax constant: `Q̄ = K̄ = 0`, V̄ the gradient | halves for both products: a quarter of the gradient for Q̄ and K̄, half of it for V̄ |
///
/// c is the identity (`RMSNorm`) or takes the mean away (`LayerNorm`).
///
/// # Sources
/// CP-LRP: Ali, Schnake, Eberle, Montavon, Müller and Wolf, "XAI for Transformers: Better Explanations through Conservative Propagation"
/// (ICML 2022): attention and the deviation that norms divide by are held constant; constant gates carry that over to an MLP with gates.
/// `AttnLRP`: Achtibat, Hatefi, Dreyer, Jain, Wiegand, Lapuschkin and Samek, "`AttnLRP`: Attention-Aware Layer-Wise Relevance Propagation for
/// Transformers" (ICML 2024): softmax is differentiated (Proposition 3.1), a product of two gives half to each, and norms and activations
/// are multiplications by a constant. LRP is patented (Fraunhofer HHI): commercial use may need a licence.
///
/// # Limits
/// By `CpLrp` norms, gates and attention are linear maps, so relevance sums to z, `Σ x⊙x̄ = z`, where the model has no biases and z is linear in
/// the logits. Biases absorb relevance. By `AttnLrp` it does not sum to z: softmax does not conserve it, the other three steps do.
/// A model with several ways to write the same product (`(ab)c` and `a(bc)`) has several results by `AttnLrp`.
///
/// # Cost
/// No more than that of the gradient, in time and memory, in a language model. Passes over a vision tower that are made for the gradient
/// alone are left to plain products.
///
/// Closed, as [`Objective`](crate::Objective) is: an engine that matches it has said what it does with every rule there is, and does not
/// compile when there is one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backward {
    /// The gradient: what the published relevancy takes.
    #[default]
    Gradient,
    /// Conservative propagation: attention, gates and the σ of norms are constant.
    CpLrp,
    /// Attention-aware LRP: the σ of norms is constant, products of two give half to each, softmax is differentiated.
    AttnLrp,
}

impl Backward {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::Gradient, Self::CpLrp, Self::AttnLrp];

    /// The name that [`Display`](fmt::Display) writes and [`FromStr`] reads: `gradient`, `cp-lrp`, `attn-lrp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::CpLrp => "cp-lrp",
            Self::AttnLrp => "attn-lrp",
        }
    }

    /// Whether it is a rule of layer-wise relevance propagation.
    pub fn is_lrp(self) -> bool {
        match self {
            Self::Gradient => false,
            Self::CpLrp | Self::AttnLrp => true,
        }
    }
}

/// The name in lower case: `gradient`, `cp-lrp`, `attn-lrp`.
impl fmt::Display for Backward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads what [`Display`](fmt::Display) writes.
///
/// ```
/// use attention_relevancy::Backward;
///
/// for backward in Backward::ALL {
///     assert_eq!(backward.to_string().parse(), Ok(backward));
/// }
/// assert!("lrp".parse::<Backward>().is_err());
/// ```
impl FromStr for Backward {
    type Err = UnknownBackward;

    fn from_str(name: &str) -> Result<Self, UnknownBackward> {
        let found = Self::ALL.into_iter().find(|backward| backward.name() == name);
        found.ok_or_else(|| UnknownBackward { name: name.to_owned() })
    }
}

/// No [`Backward`] has that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackward {
    name: String,
}

impl fmt::Display for UnknownBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no backward rule is named `{}`: there are ", self.name)?;
        let names = Backward::ALL.map(Backward::name);
        f.write_str(&names.join(", "))
    }
}

impl StdError for UnknownBackward {}
