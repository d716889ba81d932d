#include "kernels/cpu/winograd/isa.h"
#include "kernels/cpu/winograd/product_isa.h"
#include "kernels/cpu/winograd/transform_isa.h"

#define LOCKSTEP_STRING2(x) #x
#define LOCKSTEP_STRING(x) LOCKSTEP_STRING2(x)

namespace lockstep::cpu::LOCKSTEP_ISA {

extern const winograd::IsaKernels kWinograd;
const winograd::IsaKernels kWinograd = {
    LOCKSTEP_STRING(LOCKSTEP_ISA),
    kLanes,
    kGroup,
    {TransformsOf<F4>(), TransformsOf<F2>(), TransformsOf<Toeplitz2>(), TransformsOf<F2Of5>(),
     TransformsOf<F4Of5>()},
    {Product<1>, Product<2>, Product<3>},
    {Gradient<1>, Gradient<2>, Gradient<3>},
};

}  // namespace lockstep::cpu::LOCKSTEP_ISA
