// What the program was doing when there was no memory for it.
#ifndef LOCKSTEP_TOOLS_ALLOCATION_H_
#define LOCKSTEP_TOOLS_ALLOCATION_H_

namespace lockstep::tools {

// While one lives, "out of memory: N bytes for WHAT", with this, is what the program's own `new`
// throws, from any thread. They nest; `what` must outlive the process.
class Doing {
 public:
  explicit Doing(const char* what) noexcept;
  ~Doing();
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

 private:
  const char* before_;
};

}  // namespace lockstep::tools

#endif  // LOCKSTEP_TOOLS_ALLOCATION_H_
