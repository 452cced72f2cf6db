//! Devices on which networks run. Only this folder names burn's backends.
//!
//! A [`Backend`] is one kind of device, such as all CUDA GPUs; a [`DeviceName`] is one device of a kind. To add a backend,
//! write a file with its [`Backend`], and add a line to the registry below.

use crate::FloatFormat;

mod cuda;
pub(crate) mod flex;
mod libtorch_cpu;
mod libtorch_cuda;
mod name;
mod rocm;
mod wgpu;

pub use name::{DeviceError, DeviceName};

/// Declares the registry of backends: an enum with a variant for each, which is a struct in the module.
macro_rules! backends {
    ($($module:ident::$kind:ident),+ $(,)?) => {
        /// A kind of device.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DeviceKind {
            $(#[doc = concat!("See `devices/", stringify!($module), ".rs`.")] $kind),+
        }

        impl DeviceKind {
            /// All kinds; `auto` prefers accelerators in this order, then the CPU in this order.
            const ALL: &'static [Self] = &[$(Self::$kind),+];

            fn backend(self) -> &'static dyn Backend {
                match self {
                    $(Self::$kind => &$module::$kind),+
                }
            }
        }
    };
}

backends! {
    flex::Flex,
    libtorch_cpu::LibtorchCpu,
    libtorch_cuda::LibtorchCuda,
    cuda::Cuda,
    rocm::Rocm,
    wgpu::Wgpu,
}

/// A backend: one kind of device.
pub trait Backend {
    /// Returns the name of the kind, such as `libtorch:cuda`.
    fn name(&self) -> &'static str;

    /// Returns the cargo feature that compiles the backend in.
    fn feature(&self) -> &'static str;

    /// Returns whether this binary was built with the backend.
    fn is_built(&self) -> bool;

    /// Returns further cargo features of the backend that this binary was built with.
    fn extra_features(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns whether devices have an index, as in `cuda:0`.
    fn is_indexed(&self) -> bool;

    /// Returns the number of devices of this kind on this machine.
    fn count(&self) -> usize;

    /// Describes a device for `runner devices`.
    fn description(&self, index: usize) -> &'static str;

    /// Opens a device that exists; `None` if the backend was not built.
    fn open(&self, index: usize) -> Option<burn::tensor::Device>;

    /// Returns whether the device computes in the machine's main memory.
    fn is_host(&self) -> bool;

    /// Returns whether a device is emulated in software, which is slower than the CPU itself; `auto` skips it.
    fn is_software(&self, _index: usize) -> bool {
        false
    }

    /// Returns whether the device computes convolutions in a number format.
    fn supports(&self, format: FloatFormat) -> bool {
        format == FloatFormat::Float32
    }

    /// Returns a warning about a supported number format.
    fn format_warning(&self, _format: FloatFormat) -> Option<&'static str> {
        None
    }

    /// Returns a warning about this backend in this binary, with the way out.
    fn warning(&self) -> Option<String> {
        None
    }

    /// Returns whether the process should retain freed memory instead of returning it to the operating system, which speeds
    /// up backends that allocate every tensor separately.
    fn retains_freed_memory(&self) -> bool {
        false
    }

    /// Returns how activations are allocated, for the memory estimate.
    fn allocation(&self) -> Allocation {
        Allocation::Burn
    }
}

/// How a backend allocates activations, for the memory estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// By the kernels of this crate.
    Kernels,
    /// By burn's operations.
    Burn,
    /// By LibTorch's operations on the CPU.
    Libtorch,
}

/// A device of this machine, or a kind of device that it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The device's name.
    pub name: DeviceName,
    /// A description, or the reason why it cannot be used.
    pub description: String,
    /// Whether it can be used.
    pub usable: bool,
}

/// Returns the cargo features of the backends that this binary was built with.
pub fn features() -> Vec<&'static str> {
    let mut features = Vec::new();
    for backend in DeviceKind::ALL.iter().map(|kind| kind.backend()).filter(|backend| backend.is_built()) {
        features.push(backend.feature());
        features.extend(backend.extra_features());
    }
    features.dedup();
    features
}

/// Returns every device of this machine, and an entry with the reason for each kind without usable devices.
pub fn available() -> Vec<DeviceInfo> {
    let devices =
        DeviceKind::ALL.iter().flat_map(|kind| (0..kind.backend().count().max(1)).map(|index| (*kind, index)));
    let describe = |(kind, index): (DeviceKind, usize)| {
        let name = DeviceName::Device(kind, index);
        match name.check_available() {
            Ok(()) => {
                let warning =
                    kind.backend().warning().map(|warning| format!("; warning: {warning}")).unwrap_or_default();
                let description = format!("{}{warning}", kind.backend().description(index));
                DeviceInfo { name, description, usable: true }
            }
            Err(error) => DeviceInfo { name, description: format!("not usable: {error}"), usable: false },
        }
    };
    devices.map(describe).collect()
}

#[cfg(any(feature = "cuda", feature = "rocm"))]
fn num_devices(kind: burn::tensor::DeviceType) -> usize {
    burn::tensor::Device::enumerate(kind).into_vec().len()
}
