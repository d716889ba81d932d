#include "kernels/cpu/amx/usable.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lockstep::cpu {

#if defined(__x86_64__) && defined(__linux__)

namespace {

// Intel's manual, volume 2, CPUID: leaf 7, subleaf 0, EDX; subleaf 1, EAX.
bool HasAmx() {
  constexpr unsigned kAmxBf16 = 1U << 22, kAmxTile = 1U << 24, kAvx512Bf16 = 1U << 5;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & kAmxBf16) == 0 || (d & kAmxTile) == 0) return false;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvx512Bf16) != 0;
}

// Linux, Documentation/arch/x86/xstate.rst.
bool AskForTiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool IsAmxUsable() {
  static const bool usable = HasAmx() && AskForTiles();
  return usable;
}

#else

bool IsAmxUsable() { return false; }

#endif

}  // namespace lockstep::cpu
