# Installation and the package that find_package(lockstep) reads.
