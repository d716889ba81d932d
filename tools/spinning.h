// How long threads that wait for each other keep their cores.
#ifndef LOCKSTEP_TOOLS_SPINNING_H_
#define LOCKSTEP_TOOLS_SPINNING_H_

namespace lockstep::tools {

// Starts this program anew with GOMP_SPINCOUNT where the user has not said how OpenMP threads are
// to wait. libgomp's default spins for milliseconds: where others use the cores, too, a training
// step then took 20 times as long as with the bound, which costs an idle machine some 2 %. libgomp
// reads the variable when it is loaded, so main() is too late to set it. To be called first.
void BoundSpinning(char** argv);

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_SPINNING_H_
