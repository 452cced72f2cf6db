//! The macro that declares the registry of one kind of component.

/// Declares the registry of one kind of component: an enum with a variant for each component, which is one struct in the
/// module of the same name.
///
/// In an experiment, a component is a map with one key, the name of the module, and the component's own keys below it.
/// Whatever differs between components is a method of the trait, implemented in the component's file; `component()` returns
/// the trait object. Adding a component takes its file and one line here. A line `Square(square::SquareShape)` declares a
/// component whose struct has another name than its variant.
///
/// ```
/// # mod shapes {
/// pub trait Shape {
///     fn corners(&self) -> usize;
/// }
///
/// mod square {
///     /// Four equal sides.
///     #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
///     #[serde(deny_unknown_fields)]
///     pub struct Square {
///         /// Length of a side in mm.
///         pub side_mm: f64,
///     }
///
///     impl super::Shape for Square {
///         fn corners(&self) -> usize {
///             4
///         }
///     }
/// }
///
/// values::registry! {
///     /// A shape.
///     pub enum AnyShape: Shape {
///         /// Four equal sides.
///         square::Square,
///     }
/// }
/// # }
/// # fn main() {
/// # use shapes::AnyShape;
/// let shape: AnyShape = serde_yaml::from_str("!square {side_mm: 2}").unwrap();
/// assert_eq!(AnyShape::NAMES, ["square"]);
/// assert_eq!(shape.name(), "square");
/// assert_eq!(shape.component().corners(), 4);
/// # }
/// ```
#[macro_export]
macro_rules! registry {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $component:path {
            $($(#[$doc:meta])* $module:ident::$variant:ident),+ $(,)?
        }
    ) => {
        $crate::registry!(@declare [$(#[$meta])*] $name [$component] $([$(#[$doc])*] $variant $module $variant)+);
    };
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $component:path {
            $($(#[$doc:meta])* $variant:ident($module:ident::$type:ident)),+ $(,)?
        }
    ) => {
        $crate::registry!(@declare [$(#[$meta])*] $name [$component] $([$(#[$doc])*] $variant $module $type)+);
    };
    (
        @declare [$(#[$meta:meta])*] $name:ident [$component:path]
        $([$(#[$doc:meta])*] $variant:ident $module:ident $type:ident)+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum $name {
            $($(#[$doc])* $variant($module::$type)),+
        }

        impl $name {
            /// The names of all components, as an experiment writes them.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($module)),+];

            /// Returns the name of the component, as an experiment writes it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($module)),+
                }
            }

            /// Returns the component.
            pub fn component(&self) -> &dyn $component {
                match self {
                    $(Self::$variant(component) => component),+
                }
            }
        }

        $(
            impl From<$module::$type> for $name {
                fn from(component: $module::$type) -> Self {
                    Self::$variant(component)
                }
            }
        )+
    };
}
