// Shapes of register_shape.h by their names, for operations that are compiled in some of them.
#pragma once

#include "kernels/compiled.h"
#include "kernels/configurations.h"
#include "kernels/register_shape.h"

namespace normproof::kernels {

template <ShapeKind kKind>
struct ShapeOf;
#define NORMPROOF_SHAPE(name, ...)           \
  template <>                                \
  struct ShapeOf<ShapeKind::name> {          \
    using type = RegisterShape<__VA_ARGS__>; \
  };
#include "kernels/family/further_shapes.inc"
#include "kernels/register_shapes.inc"
#undef NORMPROOF_SHAPE

template <ShapeKind... kKinds>
struct ShapeList {
  static constexpr ShapeKind kAll[] = {kKinds...};
  // Calls visit<Shape>() with the shape of the kind, if it is in the list.
  template <class Visit>
  static void find(ShapeKind kind, const Visit& visit) {
    ((kind == kKinds ? visit.template operator()<typename ShapeOf<kKinds>::type>() : void()), ...);
  }
  // The same, if the build has the shape in the combination (compiled.h).
  template <int kOneIn, int kCombination, class Visit>
  static void find_compiled(ShapeKind kind, const Visit& visit) {
    (visit_if<kKinds, is_compiled<kOneIn>(kKinds, kCombination)>(kind, visit), ...);
  }

 private:
  template <ShapeKind kOne, bool kCompiled, class Visit>
  static void visit_if(ShapeKind kind, const Visit& visit) {
    if constexpr (kCompiled) {
      if (kind == kOne) visit.template operator()<typename ShapeOf<kOne>::type>();
    }
  }
};

}  // namespace normproof::kernels
