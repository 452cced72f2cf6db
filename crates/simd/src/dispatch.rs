//! Functions compiled for processor features that are detected at run time.

#[cfg(target_arch = "x86_64")]
/// Returns whether this processor runs functions of [`for_avx2!`](crate::for_avx2).
pub fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
/// Returns whether this processor runs functions of [`for_avx512!`](crate::for_avx512).
pub fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
}

/// Defines a function whose body is compiled with the given target features, so that functions with the same features can be
/// inlined into it. On processors without the features it returns `None` and does not run the body. Only for the two macros
/// below: it relies on `has` to test for all the features.
#[macro_export]
macro_rules! for_processor {
    (@result) => { () };
    (@result $result:ty) => { $result };
    (
        $features:literal, $has:path;
        $(#[$documentation:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$documentation])*
        $visibility fn $name($($argument: $type),*) -> Option<$crate::for_processor!(@result $($result)?)> {
            #[target_feature(enable = $features)]
            fn vectorized($($argument: $type),*) $(-> $result)? $body

            if !$has() {
                return None;
            }
            #[expect(unsafe_code, reason = "a function with target features may only run on processors that have them")]
            // SAFETY: the processor has the features, and the function has no other precondition because its body is safe.
            Some(unsafe { vectorized($($argument),*) })
        }
    };
}

/// Defines a function compiled with AVX2 and FMA; it returns `None` on processors without them.
///
/// ```
/// # #[cfg(target_arch = "x86_64")] {
/// simd::for_avx2! {
///     fn sum(values: &[f32]) -> f32 {
///         values.iter().sum()
///     }
/// }
///
/// assert!(sum(&[1.0, 2.0]).is_none_or(|sum| sum == 3.0));
/// # }
/// ```
#[macro_export]
macro_rules! for_avx2 {
    ($($function:tt)*) => {
        $crate::for_processor! { "avx2,fma", $crate::has_avx2; $($function)* }
    };
}

/// Defines a function compiled with AVX2, FMA and AVX-512; it returns `None` on processors without them.
#[macro_export]
macro_rules! for_avx512 {
    ($($function:tt)*) => {
        $crate::for_processor! {
            "avx2,fma,avx512f,avx512dq", $crate::has_avx512; $($function)*
        }
    };
}

/// Defines a function compiled for AVX-512, for AVX2 and for any processor, which is selected at run time. All versions compute
/// the same bits: operations are vectorized, but neither reordered nor fused.
///
/// ```
/// simd::vectorized! {
///     fn double(values: &mut [f32]) {
///         values.iter_mut().for_each(|value| *value += *value);
///     }
/// }
///
/// let mut values = [1.0, 2.0];
/// double(&mut values);
/// assert_eq!(values, [2.0, 4.0]);
/// ```
#[macro_export]
macro_rules! vectorized {
    (@result) => { () };
    (@result $result:ty) => { $result };
    (
        $(#[$documentation:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$documentation])*
        $visibility fn $name($($argument: $type),*) -> $crate::vectorized!(@result $($result)?) {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                $crate::for_avx512! {
                    fn avx512($($argument: $type),*) $(-> $result)? {
                        plain($($argument),*)
                    }
                }
                $crate::for_avx2! {
                    fn avx2($($argument: $type),*) $(-> $result)? {
                        plain($($argument),*)
                    }
                }
                if let Some(result) = avx512($($argument),*) {
                    return result;
                }
                if let Some(result) = avx2($($argument),*) {
                    return result;
                }
            }
            plain($($argument),*)
        }
    };
}
