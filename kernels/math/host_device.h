// Marks a formula that runs inside kernels of every device and instruction set.
#ifndef LOCKSTEP_KERNELS_MATH_HOST_DEVICE_H_
#define LOCKSTEP_KERNELS_MATH_HOST_DEVICE_H_

// Always inlined, so that no shared copy exists: the linker could otherwise keep the one compiled
// for an instruction set the machine does not have.
#ifdef __CUDACC__
#define LOCKSTEP_FORMULA __host__ __device__ __forceinline__
#else
#define LOCKSTEP_FORMULA [[gnu::always_inline]] inline
#endif

#endif  // LOCKSTEP_KERNELS_MATH_HOST_DEVICE_H_
