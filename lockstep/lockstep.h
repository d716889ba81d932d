// The public interface of Lockstep in one include.
#ifndef LOCKSTEP_LOCKSTEP_LOCKSTEP_H_
#define LOCKSTEP_LOCKSTEP_LOCKSTEP_H_

#include "data/batch_iterator.h"
#include "data/channel.h"
#include "data/dataset.h"
#include "data/npz.h"
#include "data/synthetic.h"
#include "engine/graph/custom_op.h"
#include "engine/graph/graph.h"
#include "engine/graph/layers.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "engine/optim/updater.h"
#include "engine/tensor/tensor.h"
#include "engine/train/checkpoint_store.h"
#include "engine/train/extension.h"
#include "engine/train/network.h"
#include "engine/train/param_sync.h"
#include "engine/train/publish.h"
#include "engine/train/trainer.h"
#include "kernels/backend.h"
#include "kernels/dtype.h"
#include "kernels/error.h"
#include "kernels/shape.h"
#include "models/model.h"
#include "models/model_directory.h"
#include "models/model_file.h"

#endif  // LOCKSTEP_LOCKSTEP_LOCKSTEP_H_
