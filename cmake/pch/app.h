// Precompiled for the topmost room, app: the parts that it puts together, and its command line.
#pragma once

#include <CLI/CLI.hpp>

#include "api/api.h"
#include "cluster/backend_table.h"
#include "cluster/catalogue.h"
#include "cluster/cluster_store.h"
#include "cluster/members.h"
#include "cluster/remote_metadata.h"
#include "cluster/reports.h"
#include "cmake/pch/upper.h"
#include "generation/federated_generation.h"
#include "generation/node_records.h"
#include "peer/peer_server.h"
#include "peer/renewal.h"
#include "peer/staged_scheduler.h"
#include "peer/voter_service.h"
#include "scheduler/cluster_scheduler.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/part_leases.h"
#include "scheduler/split_planner.h"
#include "security/identity.h"
#include "store/store.h"
#include "transfer/distribution.h"
#include "transfer/transfer.h"
