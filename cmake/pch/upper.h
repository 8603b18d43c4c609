// Precompiled for the rooms from engine upwards: what they all include of the rooms below them.
#pragma once

#include "cmake/pch/lower.h"
#include "engine/engine.h"
#include "http/client.h"
#include "http/server.h"
#include "io/event.h"
#include "io/task_group.h"
#include "io/world.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/manifest.h"
#include "model/name.h"
