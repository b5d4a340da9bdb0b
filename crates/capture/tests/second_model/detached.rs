//! The backward rules by their definition: a forward pass in which autograd is kept from what a rule holds constant, and meets half of what
//! it halves. Values stay what they are.

use attention_relevancy::Backward;
use tch::{Device, Kind, Tensor};

/// A forward pass whose gradients are what a rule makes of gradients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detached(pub(crate) Backward);

impl Detached {
    /// A factor: of a norm, or of an activation in place of its slope.
    fn factor(self, x: Tensor) -> Tensor {
        match self.0 {
            Backward::Gradient => x,
            Backward::CpLrp | Backward::AttnLrp => x.detach(),
        }
    }

    /// `gain·x/√(mean x² + ε)`.
    pub(crate) fn norm(self, x: &Tensor, gain: &Tensor, eps: f64) -> Tensor {
        x * self.factor((x.square().mean_dim(-1, true, Kind::Float) + eps).rsqrt()) * gain
    }

    /// An activation y of x: by any rule that is not the gradient, x times a constant.
    pub(crate) fn activation(self, x: &Tensor, y: Tensor) -> Tensor {
        match self.0 {
            Backward::Gradient => y,
            Backward::CpLrp | Backward::AttnLrp => x * (y / x).detach().nan_to_num(0.0, None, None),
        }
    }

    /// `a·b`, each with half of the gradient where the rule says so.
    pub(crate) fn product(self, a: &Tensor, b: &Tensor) -> Tensor {
        match self.0 {
            Backward::Gradient | Backward::CpLrp => a.matmul(b),
            Backward::AttnLrp => (a.detach().matmul(b) + a.matmul(&b.detach())) * 0.5,
        }
    }

    /// Attention `[H, n, m]` times values `[H, m, d]`, and a probe of the shape of attention: zeros, whose gradient is `dO·Vᵀ` by every
    /// rule, what attention would have for a gradient if it were neither constant nor halved.
    pub(crate) fn attend(self, attention: &Tensor, values: &Tensor) -> (Tensor, Tensor) {
        let probe = Tensor::zeros(attention.size(), (Kind::Float, Device::Cpu));
        let probe = probe.set_requires_grad(true);
        let heads = match self.0 {
            Backward::Gradient | Backward::AttnLrp => self.product(attention, values),
            Backward::CpLrp => attention.detach().matmul(values),
        };
        (heads + probe.matmul(&values.detach()), probe)
    }
}
