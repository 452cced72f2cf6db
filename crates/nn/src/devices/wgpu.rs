//! `wgpu:N`: an adapter of Vulkan, Metal or DirectX 12, by its index: GPUs first, software adapters last.

use burn::tensor::Device;

use super::Backend;

/// Adapters of the graphics API that wgpu chooses: the first API that has a GPU, else the first that has any adapter.
#[derive(Debug)]
pub struct Wgpu;

impl Backend for Wgpu {
    fn name(&self) -> &'static str {
        "wgpu"
    }

    fn feature(&self) -> &'static str {
        "wgpu"
    }

    fn is_built(&self) -> bool {
        cfg!(feature = "wgpu")
    }

    fn extra_features(&self) -> &'static [&'static str] {
        if cfg!(feature = "metal") { &["metal"] } else { &[] }
    }

    fn is_indexed(&self) -> bool {
        true
    }

    fn count(&self) -> usize {
        adapters::count()
    }

    fn description(&self, index: usize) -> &'static str {
        adapters::description(index)
    }

    fn open(&self, index: usize) -> Option<Device> {
        adapters::open(index)
    }

    fn is_host(&self) -> bool {
        false
    }

    fn is_software(&self, index: usize) -> bool {
        adapters::is_software(index)
    }
}

#[cfg(feature = "wgpu")]
mod adapters {
    use std::sync::OnceLock;

    use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};
    use burn::tensor::{Device, DeviceType};

    /// The kind of an adapter as the graphics API reports it, the best first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum AdapterKind {
        Discrete,
        Integrated,
        Virtual,
        Other,
        Software,
    }

    impl AdapterKind {
        fn new(adapter: &Device) -> Self {
            let DispatchDevice::Cube(CubeDevice::Wgpu(adapter)) = adapter.as_dispatch() else { return Self::Other };
            match adapter.kind {
                WgpuDeviceKind::DiscreteGpu(_) => Self::Discrete,
                WgpuDeviceKind::IntegratedGpu(_) => Self::Integrated,
                WgpuDeviceKind::VirtualGpu(_) => Self::Virtual,
                WgpuDeviceKind::Cpu => Self::Software,
                _ => Self::Other,
            }
        }
    }

    pub(super) fn count() -> usize {
        adapters().len()
    }

    pub(super) fn open(index: usize) -> Option<Device> {
        adapters().get(index).cloned()
    }

    pub(super) fn is_software(index: usize) -> bool {
        open(index).is_some_and(|adapter| AdapterKind::new(&adapter) == AdapterKind::Software)
    }

    pub(super) fn description(index: usize) -> &'static str {
        match open(index).as_ref().map(AdapterKind::new) {
            Some(AdapterKind::Discrete) => "discrete GPU through WebGPU",
            Some(AdapterKind::Integrated) => "integrated GPU through WebGPU",
            Some(AdapterKind::Virtual) => "virtual GPU through WebGPU",
            Some(AdapterKind::Software) => "CPU through WebGPU, by a software driver: for tests only",
            Some(AdapterKind::Other) | None => "adapter of WebGPU",
        }
    }

    /// The adapters, enumerated once, since the driver takes a fraction of a second each time.
    fn adapters() -> &'static [Device] {
        static ADAPTERS: OnceLock<Vec<Device>> = OnceLock::new();
        ADAPTERS.get_or_init(|| best_first(Device::enumerate(DeviceType::Wgpu).into_vec()))
    }

    /// Sorts adapters by their kind; adapters of one kind keep the driver's order.
    fn best_first(mut adapters: Vec<Device>) -> Vec<Device> {
        adapters.sort_by_key(AdapterKind::new);
        adapters
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use burn::tensor::DeviceKind;

        #[test]
        fn gpus_come_before_software_and_keep_their_order() {
            let [software, integrated, first, second] =
                [DeviceKind::Cpu, DeviceKind::IntegratedGpu(0), DeviceKind::DiscreteGpu(0), DeviceKind::DiscreteGpu(1)]
                    .map(Device::wgpu);
            let adapters = vec![software.clone(), integrated.clone(), first.clone(), second.clone()];
            assert_eq!(best_first(adapters), [first, second, integrated, software]);
        }
    }
}

#[cfg(not(feature = "wgpu"))]
mod adapters {
    pub(super) fn count() -> usize {
        0
    }

    pub(super) fn open(_: usize) -> Option<burn::tensor::Device> {
        None
    }

    pub(super) fn is_software(_: usize) -> bool {
        false
    }

    pub(super) fn description(_: usize) -> &'static str {
        "adapter of WebGPU"
    }
}
