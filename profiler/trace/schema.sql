-- The schema of a trace, in one place. The writer runs the part above the line "-- INDEXES" when
-- it creates a file and the part below it when it closes one; both are compiled into the library.
--
-- Times are int64 nanoseconds on one clock, zero at the start of the session (hc_meta.epoch_ns on
-- hc_meta.clock). Ids of steps, operations, checks and fetches count from 0 within their run; -1
-- says "none". Comments give the unit of a column and who fills it where that is not the engine.
--
-- user_version = major * 1000 + minor. Minor: tables, views or columns were added. Major: anything
-- that would make an older reader wrong, a new word in one of the fixed lists included.
PRAGMA application_id = 1751347316;  -- "hcpt"
PRAGMA user_version = 2001;

-- ---------------------------------------------------------------------------------------------
-- The session

CREATE TABLE hc_meta (     -- the writer; one row per fact about the session
    key   TEXT PRIMARY KEY, -- format_version, hcprof_version, command_line, host, writer_pid,
                            -- start_utc, epoch_ns, clock, clock_error_ns (CUDA: alignment to
                            -- CUPTI's clock), heartbeat_ns, heartbeat_utc, clean_exit,
                            -- lost_CAUSE (records that are missing, by cause), merged_files (their
                            -- number), unclean_files (names of those of them without clean_exit)
    value TEXT NOT NULL     -- clean_exit: 1 when the writer finished, else 0
) STRICT;

CREATE TABLE hc_run (                -- cli, simulator; one row per engine run
    id             INTEGER PRIMARY KEY, -- from 0
    origin         TEXT NOT NULL,    -- recorded | simulated
    source_run     INTEGER,          -- simulated: the run it was made from
    attention_run  INTEGER,          -- the run whose hc_attention rows it is judged by
    policy         TEXT NOT NULL,    -- fullkv | heterocache | ...
    mode           TEXT NOT NULL,    -- fixed | reference | '' for fullkv
    parameters     TEXT NOT NULL,    -- every setting, JSON
    window         INTEGER NOT NULL, -- decode steps per drift check
    commit_lag     INTEGER NOT NULL, -- steps from trigger to commit
    model_name     TEXT NOT NULL,
    model_hash     TEXT NOT NULL,
    shape          TEXT NOT NULL,    -- layers, heads and so on, JSON
    weights        TEXT NOT NULL,    -- file | random
    prefill        TEXT NOT NULL,    -- real | synthetic
    drift          TEXT NOT NULL,    -- attention | trace | synthetic: what decided triggers
    tokens         TEXT NOT NULL,    -- sampled | forced
    backend        TEXT NOT NULL,    -- cpu | cuda
    prompt_tokens  INTEGER NOT NULL, -- tokens per sequence
    batch          INTEGER NOT NULL, -- sequences
    seed           INTEGER NOT NULL  -- 64 bits, read as unsigned
) STRICT;

CREATE TABLE hc_machine (               -- cli, simulator; the device of a run
    run                INTEGER NOT NULL,
    device             INTEGER NOT NULL, -- ordinal of the GPU, -1 for a CPU
    name               TEXT NOT NULL,
    compute_capability TEXT NOT NULL,    -- '9.0', '' for a CPU
    num_sms            INTEGER NOT NULL, -- cores on a CPU
    memory_bytes       INTEGER NOT NULL
) STRICT;

CREATE TABLE hc_value (            -- cli, simulator; a number about a machine
    run      INTEGER,              -- NULL: not tied to a run
    machine  TEXT NOT NULL,        -- hc_machine.name
    name     TEXT NOT NULL,
    argument REAL NOT NULL,        -- what it was taken at: a row size in bytes, say
    number   REAL NOT NULL,        -- in `unit`
    unit     TEXT NOT NULL,
    origin   TEXT NOT NULL,        -- measured | fitted | catalogue | assumed
    source   TEXT NOT NULL         -- command, document or fit that it came from
) STRICT;

CREATE TABLE hc_stream (           -- cli (cpu), CUPTI session (cuda)
    key       INTEGER PRIMARY KEY, -- cpu: 0 the decode thread, 1 the fetch worker
    pid       INTEGER NOT NULL,
    device    INTEGER,             -- NULL on the CPU
    context   INTEGER,             -- NULL on the CPU
    stream_id INTEGER,             -- CUDA's number, the thread id on the CPU
    name      TEXT NOT NULL,
    role      TEXT NOT NULL        -- compute | fetch | other
) STRICT;

CREATE TABLE hc_head (             -- one row per run and KV head
    run       INTEGER NOT NULL,
    layer     INTEGER NOT NULL,
    head      INTEGER NOT NULL,    -- KV head within the layer
    role      TEXT NOT NULL,       -- anchor | volatile | pivot | satellite
    stability REAL,                -- 0..1, NULL: not known
    pivot     INTEGER,             -- head of the same layer that it follows; satellites only
    ratio     REAL,                -- share of the mean budget; NULL for full heads
    capacity  INTEGER NOT NULL     -- prompt tokens kept
) STRICT;

-- ---------------------------------------------------------------------------------------------
-- What the engine did

CREATE TABLE hc_step (
    run      INTEGER NOT NULL,
    step     INTEGER NOT NULL,     -- 0 is the prefill
    phase    TEXT NOT NULL,        -- prefill | decode
    batch    INTEGER NOT NULL,     -- sequences in this step
    start_ns INTEGER NOT NULL,
    end_ns   INTEGER NOT NULL
) STRICT;

CREATE TABLE hc_token (            -- one row per run, step and sequence
    run            INTEGER NOT NULL,
    step           INTEGER NOT NULL,
    sequence       INTEGER NOT NULL,
    token_id       INTEGER NOT NULL, -- put out by this step, or forced
    context_length INTEGER NOT NULL, -- tokens of the sequence before it
    kl_nats        REAL,           -- KL(full attention || this run); teacher forcing only
    top1_equal     INTEGER,        -- 1: same most likely token as full attention
    nll_nats       REAL            -- negative log-likelihood of the forced token
) STRICT;

CREATE TABLE hc_op_kind (          -- the fixed list of operations, written with the schema's rows
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE      -- "other": kernels of a recorded program outside named ranges
) STRICT;

CREATE TABLE hc_op_row (           -- operations, narrow; read them as hc_op
    run               INTEGER NOT NULL,
    op_id             INTEGER NOT NULL,
    step              INTEGER NOT NULL,
    layer             INTEGER NOT NULL, -- -1: belongs to no layer
    kind              INTEGER NOT NULL, -- hc_op_kind.id
    stream            INTEGER NOT NULL, -- hc_stream.key
    start_ns          INTEGER NOT NULL,
    duration_ns       INTEGER NOT NULL,
    bytes_read        INTEGER NOT NULL,
    bytes_written     INTEGER NOT NULL,
    flops             INTEGER NOT NULL,
    rows              INTEGER NOT NULL, -- KV rows (token, head) of attention-like operations and
                                        -- transfers; tokens of the dense ones
    correlation_first INTEGER,     -- CUDA: its launches; inside a graph the launch of the graph
    correlation_last  INTEGER,
    graph_id          INTEGER,     -- CUDA graphs: the graph and its nodes
    node_first        INTEGER,
    node_last         INTEGER
) STRICT;

CREATE VIEW hc_op AS               -- one row per operation of the engine
SELECT o.run AS run, o.op_id AS op_id, o.step AS step, o.layer AS layer, k.name AS kind,
       o.stream AS stream, o.start_ns AS start_ns, o.start_ns + o.duration_ns AS end_ns,
       o.duration_ns AS duration_ns, o.bytes_read AS bytes_read, o.bytes_written AS bytes_written,
       o.flops AS flops, o.rows AS rows, o.correlation_first AS correlation_first,
       o.correlation_last AS correlation_last, o.graph_id AS graph_id,
       o.node_first AS node_first, o.node_last AS node_last
  FROM hc_op_row AS o JOIN hc_op_kind AS k ON k.id = o.kind;

CREATE TABLE hc_edge (             -- `to_op` could not start before `from_op` ended
    run     INTEGER NOT NULL,
    from_op INTEGER NOT NULL,
    to_op   INTEGER NOT NULL,
    kind    TEXT NOT NULL          -- stream | event | graph | host
) STRICT;

CREATE TABLE hc_drift (            -- one row per drift check, triggered or not
    run       INTEGER NOT NULL,
    check_id  INTEGER NOT NULL,
    op_id     INTEGER NOT NULL,    -- its drift_topk operation
    step      INTEGER NOT NULL,
    layer     INTEGER NOT NULL,
    pivot     INTEGER NOT NULL,    -- KV head within the layer
    sequence  INTEGER NOT NULL,
    base      INTEGER NOT NULL,    -- tokens in each compared set
    overlaps  TEXT NOT NULL,       -- one number per query of the window, JSON array
    median    REAL NOT NULL,
    threshold REAL NOT NULL,
    triggered INTEGER NOT NULL     -- 1: median < threshold
) STRICT;

CREATE TABLE hc_retrieval (        -- one row per fetch
    run            INTEGER NOT NULL,
    fetch_id       INTEGER NOT NULL,
    check_id       INTEGER NOT NULL, -- the check that triggered it
    sequence       INTEGER NOT NULL,
    layer          INTEGER NOT NULL,
    way            TEXT NOT NULL,  -- gather | copy | memcpy
    rows_wanted    INTEGER NOT NULL, -- over all members of the star
    rows_fetched   INTEGER NOT NULL, -- of these, not resident before
    runs           INTEGER NOT NULL, -- contiguous pieces of the host tier
    bytes          INTEGER NOT NULL,
    queued_ns      INTEGER NOT NULL,
    start_ns       INTEGER,        -- NULL: superseded before it began
    end_ns         INTEGER,
    due_step       INTEGER NOT NULL, -- to be committed at the start of this step
    committed_step INTEGER,        -- NULL: never (superseded, or the run ended)
    exposed_ns     INTEGER NOT NULL, -- the compute stream waited this long for it
    fetch_op       INTEGER,        -- op_id of its transfer
    commit_op      INTEGER,
    first_use_op   INTEGER,        -- the attention that first read the rows
    superseded     INTEGER NOT NULL -- 1: a newer trigger of the star came before the commit
) STRICT;

CREATE TABLE hc_rows (             -- what came into and went out of a head
    run           INTEGER NOT NULL,
    fetch_id      INTEGER,         -- NULL: the set kept after prefill
    step          INTEGER NOT NULL, -- holds from the start of this step
    sequence      INTEGER NOT NULL,
    layer         INTEGER NOT NULL,
    head          INTEGER NOT NULL,
    fetched_count INTEGER NOT NULL,
    evicted_count INTEGER NOT NULL,
    fetched       BLOB NOT NULL,   -- ascending prompt positions, coded as docs/trace.md says
    evicted       BLOB NOT NULL
) STRICT;

CREATE TABLE hc_attention (        -- the drift trace: full attention, forced tokens
    run            INTEGER NOT NULL,
    step           INTEGER NOT NULL, -- 0: the last prompt query
    sequence       INTEGER NOT NULL,
    layer          INTEGER NOT NULL,
    head           INTEGER NOT NULL,
    kind           TEXT NOT NULL,  -- score: selection score | prob: attention probability
    k              INTEGER NOT NULL, -- positions held
    positions      BLOB NOT NULL,  -- best first, so that a smaller k is a prefix
    value_list     BLOB NOT NULL,  -- one per position, logarithmic, 8 bits
    mass_generated REAL NOT NULL,  -- probability on generated tokens (prob)
    mass_rest      REAL NOT NULL   -- probability on prompt positions not held (prob)
) STRICT;

CREATE TABLE hc_recall (           -- cli: share of attention mass on resident tokens, an interval
    run      INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    layer    INTEGER NOT NULL,
    head     INTEGER NOT NULL,
    low      REAL NOT NULL,
    high     REAL NOT NULL
) STRICT;

CREATE TABLE hc_memory (           -- bytes, at the end of a step
    run                 INTEGER NOT NULL,
    step                INTEGER NOT NULL,
    pool_used_bytes     INTEGER NOT NULL,
    pool_reserved_bytes INTEGER NOT NULL,
    host_tier_bytes     INTEGER NOT NULL,
    staging_bytes       INTEGER NOT NULL,
    process_peak_bytes  INTEGER NOT NULL
) STRICT;

-- ---------------------------------------------------------------------------------------------
-- What CUPTI saw: narrow rows, filled by the CUPTI session or an import; empty after a CPU run.
-- What many rows share stands once, in hc_launch, hc_string and hc_stream.

CREATE TABLE hc_string (           -- names, once each; also the names of streams
    id    INTEGER PRIMARY KEY,
    value TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE hc_launch (           -- one row per distinct kernel configuration
    id                       INTEGER PRIMARY KEY,
    name_id                  INTEGER NOT NULL, -- hc_string: demangled
    short_name_id            INTEGER NOT NULL,
    mangled_name_id          INTEGER,
    grid_x INTEGER NOT NULL, grid_y INTEGER NOT NULL, grid_z INTEGER NOT NULL,    -- blocks
    block_x INTEGER NOT NULL, block_y INTEGER NOT NULL, block_z INTEGER NOT NULL, -- threads
    registers_per_thread     INTEGER NOT NULL,
    static_shared_bytes      INTEGER NOT NULL,
    dynamic_shared_bytes     INTEGER NOT NULL,
    executed_shared_bytes    INTEGER,
    local_bytes_per_thread   INTEGER NOT NULL,
    local_bytes_total        INTEGER NOT NULL,
    launch_type              INTEGER, -- CUPTI's numbers from here on
    cache_config             INTEGER,
    shared_limit_config      INTEGER,
    cluster_x INTEGER, cluster_y INTEGER, cluster_z INTEGER,
    cluster_policy           INTEGER,
    max_potential_cluster    INTEGER,
    max_active_clusters      INTEGER,
    shared_percentage        INTEGER
) STRICT;

CREATE TABLE hc_kernel (
    start_ns       INTEGER NOT NULL,
    duration_ns    INTEGER NOT NULL,
    correlation_id INTEGER NOT NULL,
    stream         INTEGER NOT NULL, -- hc_stream.key
    graph_node_id  INTEGER,
    launch         INTEGER NOT NULL  -- hc_launch.id
) STRICT;

CREATE TABLE hc_memcpy (
    start_ns       INTEGER NOT NULL,
    duration_ns    INTEGER NOT NULL,
    correlation_id INTEGER NOT NULL,
    stream         INTEGER NOT NULL,
    graph_node_id  INTEGER,
    bytes          INTEGER NOT NULL,
    copy_kind      INTEGER NOT NULL, -- ENUM_CUDA_MEMCPY_OPER
    src_kind       INTEGER,          -- ENUM_CUDA_MEM_KIND (the export's numbers, not CUPTI's)
    dst_kind       INTEGER,
    src_device     INTEGER,          -- peer copies
    dst_device     INTEGER,
    copy_count     INTEGER           -- copies that CUPTI merged into this record
) STRICT;

CREATE TABLE hc_memset (
    start_ns       INTEGER NOT NULL,
    duration_ns    INTEGER NOT NULL,
    correlation_id INTEGER NOT NULL,
    stream         INTEGER NOT NULL,
    graph_node_id  INTEGER,
    bytes          INTEGER NOT NULL,
    value          INTEGER NOT NULL,
    mem_kind       INTEGER           -- ENUM_CUDA_MEM_KIND
) STRICT;

CREATE TABLE hc_api (                -- runtime and driver calls
    start_ns       INTEGER NOT NULL,
    duration_ns    INTEGER NOT NULL,
    correlation_id INTEGER NOT NULL,
    thread         INTEGER NOT NULL, -- (process id << 24) | thread id
    class          INTEGER NOT NULL, -- 0 runtime, 1 driver
    name_id        INTEGER NOT NULL, -- hc_string
    result         INTEGER NOT NULL  -- CUDA's return value
) STRICT;

CREATE TABLE hc_sync (
    start_ns       INTEGER NOT NULL,
    duration_ns    INTEGER NOT NULL,
    correlation_id INTEGER NOT NULL,
    stream         INTEGER NOT NULL,
    type           INTEGER NOT NULL, -- ENUM_CUPTI_SYNC_TYPE
    event_id       INTEGER NOT NULL, -- 0: no event
    event_sync_id  INTEGER           -- joins a wait to the record that it waited for
) STRICT;

CREATE TABLE hc_nvtx (
    start_ns    INTEGER NOT NULL,
    duration_ns INTEGER,             -- NULL: a mark, or a range that never ended
    type        INTEGER NOT NULL,    -- ENUM_NSYS_EVENT_TYPE
    thread      INTEGER NOT NULL,    -- (process id << 24) | thread id
    end_thread  INTEGER,             -- start/end ranges that end on another thread
    range_id    INTEGER,
    name_id     INTEGER,             -- hc_string
    domain      INTEGER,
    category    INTEGER,
    color       INTEGER,
    payload      ANY,                -- a number: integer, or real for types 3 and 6
    payload_type INTEGER             -- NVTX_PAYLOAD_TYPE_*: 1 uint64 (its bits), 2 int64, 3 double,
                                     -- 4 uint32, 5 int32, 6 float; NULL with the payload
) STRICT;

CREATE TABLE hc_nvtx_name (          -- what a domain or a category is called
    pid      INTEGER NOT NULL,
    domain   INTEGER NOT NULL,       -- hc_nvtx.domain; 0 is the default domain, which has no row
    category INTEGER NOT NULL,       -- hc_nvtx.category; -1: this row names the domain itself
    name_id  INTEGER NOT NULL,       -- hc_string
    PRIMARY KEY (pid, domain, category)
) STRICT;

CREATE TABLE hc_overhead (           -- time that profiling took from the program
    start_ns    INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    kind        INTEGER NOT NULL,    -- CUpti_ActivityOverheadKind
    thread      INTEGER              -- (process id << 24) | thread id; NULL: not of one thread
) STRICT;

CREATE TABLE hc_memory_event (       -- allocations and releases
    time_ns         INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    address         INTEGER NOT NULL, -- 64 bits, read as unsigned
    correlation_id  INTEGER NOT NULL,
    stream          INTEGER,          -- hc_stream.key; NULL: not in a stream's order
    operation       INTEGER NOT NULL, -- 1 allocate, 2 release (CUpti_ActivityMemoryOperationType);
                                      -- of a pool, bytes then being what is in use:
                                      -- 11 create, 12 destroy, 13 trim
    mem_kind        INTEGER,          -- ENUM_CUDA_MEM_KIND
    pool_address    INTEGER,          -- NULL: of no pool
    pool_size_bytes INTEGER
) STRICT;

CREATE TABLE hc_external (           -- ids that the program pushed around its calls
    correlation_id INTEGER NOT NULL, -- hc_api.correlation_id
    external_id    INTEGER NOT NULL, -- 64 bits, read as unsigned
    kind           INTEGER NOT NULL, -- CUpti_ExternalCorrelationKind
    pid            INTEGER           -- correlation ids count per process; NULL: hc_meta.writer_pid
) STRICT;

CREATE TABLE hc_process (            -- processes that rows come from
    pid  INTEGER PRIMARY KEY,
    name TEXT NOT NULL               -- of its program, '' when unknown
) STRICT;

CREATE TABLE hc_gpu (                -- GPUs as CUPTI's device records (or an import) describe them
    device                  INTEGER PRIMARY KEY, -- ordinal
    name                    TEXT NOT NULL,
    uuid                    TEXT NOT NULL,    -- '' when unknown, as all texts here
    bus_location            TEXT NOT NULL,    -- domain:bus:device.function
    compute_major           INTEGER,          -- NULL when unknown, as all numbers here
    compute_minor           INTEGER,
    num_sms                 INTEGER,
    memory_bytes            INTEGER,
    l2_bytes                INTEGER,
    memory_bandwidth        INTEGER,          -- bytes per second
    clock_hz                INTEGER,
    constant_memory_bytes   INTEGER,
    async_engines           INTEGER,
    threads_per_warp        INTEGER,
    max_warps_per_sm        INTEGER,
    max_blocks_per_sm       INTEGER,
    max_threads_per_block   INTEGER,
    max_registers_per_block INTEGER,
    max_registers_per_sm    INTEGER,
    max_shared_per_block    INTEGER,          -- bytes
    max_shared_per_block_optin INTEGER,       -- bytes
    max_shared_per_sm       INTEGER,          -- bytes
    max_block_x INTEGER, max_block_y INTEGER, max_block_z INTEGER,  -- threads
    max_grid_x INTEGER, max_grid_y INTEGER, max_grid_z INTEGER      -- blocks
) STRICT;

-- ---------------------------------------------------------------------------------------------
-- The same under the names and columns of the Nsight Systems SQLite export (schema 3.28), for SQL
-- that was written for it. Columns that we do not record are NULL, or 0 where NULL is not allowed.

CREATE VIEW StringIds AS SELECT id AS "id", value AS "value" FROM hc_string;

CREATE VIEW ThreadNames AS
SELECT n.id AS "nameId", NULL AS "priority", (s.pid << 24) | (s.stream_id & 16777215) AS "globalTid"
  FROM hc_stream AS s JOIN hc_string AS n ON n.value = s.name
 WHERE s.device IS NULL AND s.stream_id IS NOT NULL;

CREATE VIEW PROCESSES AS
SELECT pid << 24 AS "globalPid", pid AS "pid", nullif(name, '') AS "name" FROM hc_process
UNION ALL
SELECT DISTINCT pid << 24, pid, NULL FROM hc_stream WHERE pid NOT IN (SELECT pid FROM hc_process);

CREATE VIEW CUPTI_ACTIVITY_KIND_KERNEL AS
SELECT k.start_ns AS "start", k.start_ns + k.duration_ns AS "end", ifnull(s.device, 0) AS "deviceId",
       ifnull(s.context, 0) AS "contextId", NULL AS "greenContextId",
       ifnull(s.stream_id, 0) AS "streamId",
       k.correlation_id AS "correlationId", s.pid << 24 AS "globalPid",
       l.name_id AS "demangledName", l.short_name_id AS "shortName",
       l.mangled_name_id AS "mangledName", l.launch_type AS "launchType",
       l.cache_config AS "cacheConfig", l.registers_per_thread AS "registersPerThread",
       l.grid_x AS "gridX", l.grid_y AS "gridY", l.grid_z AS "gridZ",
       l.block_x AS "blockX", l.block_y AS "blockY", l.block_z AS "blockZ",
       l.static_shared_bytes AS "staticSharedMemory",
       l.dynamic_shared_bytes AS "dynamicSharedMemory",
       l.local_bytes_per_thread AS "localMemoryPerThread",
       l.local_bytes_total AS "localMemoryTotal", 0 AS "gridId",
       l.executed_shared_bytes AS "sharedMemoryExecuted", k.graph_node_id AS "graphNodeId",
       l.shared_limit_config AS "sharedMemoryLimitConfig", NULL AS "qmdBulkReleaseDone",
       NULL AS "qmdPreexitDone", NULL AS "qmdLastCtaDone", NULL AS "graphId",
       l.cluster_x AS "clusterX", l.cluster_y AS "clusterY", l.cluster_z AS "clusterZ",
       l.cluster_policy AS "clusterSchedulingPolicy",
       l.max_potential_cluster AS "maxPotentialClusterSize",
       l.max_active_clusters AS "maxActiveClusters",
       l.shared_percentage AS "sharedMemoryRequestedPercentage",
       '' AS "tensorSizeMinusOneElements"
  FROM hc_kernel AS k JOIN hc_launch AS l ON l.id = k.launch
  JOIN hc_stream AS s ON s.key = k.stream;

CREATE VIEW CUPTI_ACTIVITY_KIND_MEMCPY AS
SELECT m.start_ns AS "start", m.start_ns + m.duration_ns AS "end", ifnull(s.device, 0) AS "deviceId",
       ifnull(s.context, 0) AS "contextId", NULL AS "greenContextId",
       ifnull(s.stream_id, 0) AS "streamId",
       m.correlation_id AS "correlationId", s.pid << 24 AS "globalPid", m.bytes AS "bytes",
       m.copy_kind AS "copyKind", NULL AS "deprecatedSrcId", m.src_kind AS "srcKind",
       m.dst_kind AS "dstKind", m.src_device AS "srcDeviceId", NULL AS "srcContextId",
       m.dst_device AS "dstDeviceId", NULL AS "dstContextId", NULL AS "migrationCause",
       m.graph_node_id AS "graphNodeId", NULL AS "virtualAddress", m.copy_count AS "copyCount"
  FROM hc_memcpy AS m JOIN hc_stream AS s ON s.key = m.stream;

CREATE VIEW CUPTI_ACTIVITY_KIND_MEMSET AS
SELECT m.start_ns AS "start", m.start_ns + m.duration_ns AS "end", ifnull(s.device, 0) AS "deviceId",
       ifnull(s.context, 0) AS "contextId", NULL AS "greenContextId",
       ifnull(s.stream_id, 0) AS "streamId",
       m.correlation_id AS "correlationId", s.pid << 24 AS "globalPid", m.value AS "value",
       m.bytes AS "bytes", m.graph_node_id AS "graphNodeId", m.mem_kind AS "memKind"
  FROM hc_memset AS m JOIN hc_stream AS s ON s.key = m.stream;

CREATE VIEW CUPTI_ACTIVITY_KIND_RUNTIME AS
SELECT start_ns AS "start", start_ns + duration_ns AS "end", class AS "eventClass",
       thread AS "globalTid", correlation_id AS "correlationId", name_id AS "nameId",
       result AS "returnValue", NULL AS "callchainId"
  FROM hc_api;

CREATE VIEW CUPTI_ACTIVITY_KIND_SYNCHRONIZATION AS
SELECT y.start_ns AS "start", y.start_ns + y.duration_ns AS "end", ifnull(s.device, 0) AS "deviceId",
       ifnull(s.context, 0) AS "contextId", NULL AS "greenContextId",
       ifnull(s.stream_id, 0) AS "streamId",
       y.correlation_id AS "correlationId", s.pid << 24 AS "globalPid",
       NULL AS "deprecatedSyncType", y.type AS "syncType", y.event_id AS "eventId",
       y.event_sync_id AS "eventSyncId"
  FROM hc_sync AS y JOIN hc_stream AS s ON s.key = y.stream;

-- On the CPU the engine's steps and operations are the ranges (layer as int32Value), so that
-- nothing is stored twice; with CUPTI active they come from hc_nvtx.
CREATE VIEW NVTX_EVENTS AS
SELECT start_ns AS "start", start_ns + duration_ns AS "end", type AS "eventType",
       range_id AS "rangeId", category AS "category", color AS "color", NULL AS "text",
       thread AS "globalTid", end_thread AS "endGlobalTid", name_id AS "textId",
       domain AS "domainId", CASE payload_type WHEN 1 THEN payload END AS "uint64Value",
       CASE payload_type WHEN 2 THEN payload END AS "int64Value",
       CASE payload_type WHEN 3 THEN payload END AS "doubleValue",
       CASE payload_type WHEN 4 THEN payload END AS "uint32Value",
       CASE payload_type WHEN 5 THEN payload END AS "int32Value",
       CASE payload_type WHEN 6 THEN payload END AS "floatValue",
       NULL AS "jsonTextId", NULL AS "jsonText", NULL AS "binaryData", NULL AS "eventId"
  FROM hc_nvtx
UNION ALL
SELECT 0, NULL, iif(n.category < 0, 75, 33), NULL, nullif(n.category, -1), NULL, s.value,
       n.pid << 24, NULL, NULL, n.domain, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM hc_nvtx_name AS n JOIN hc_string AS s ON s.id = n.name_id
UNION ALL
SELECT p.start_ns, p.end_ns, 59, NULL, NULL, NULL, p.phase,
       (SELECT (pid << 24) | (ifnull(stream_id, 0) & 16777215) FROM hc_stream WHERE key = 0),
       NULL, NULL, 0, NULL, p.step, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM hc_step AS p JOIN hc_run AS r ON r.id = p.run WHERE r.backend = 'cpu'
UNION ALL
SELECT o.start_ns, o.start_ns + o.duration_ns, 59, NULL, NULL, NULL, k.name,
       (SELECT (pid << 24) | (ifnull(stream_id, 0) & 16777215) FROM hc_stream
         WHERE key = o.stream),
       NULL, NULL, 0, NULL, o.step, NULL, NULL, o.layer, NULL, NULL, NULL, NULL, NULL
  FROM hc_op_row AS o JOIN hc_op_kind AS k ON k.id = o.kind JOIN hc_run AS r ON r.id = o.run
 WHERE r.backend = 'cpu';

CREATE VIEW TARGET_INFO_GPU AS
SELECT 0 AS "vmId", device AS "id", nullif(name, '') AS "name",
       nullif(bus_location, '') AS "busLocation", NULL AS "isDiscrete", l2_bytes AS "l2CacheSize",
       memory_bytes AS "totalMemory", memory_bandwidth AS "memoryBandwidth",
       clock_hz AS "clockRate", num_sms AS "smCount", NULL AS "pwGpuId", nullif(uuid, '') AS "uuid",
       NULL AS "luid", NULL AS "chipName", device AS "cuDevice", NULL AS "ctxswDevPath",
       NULL AS "ctrlDevPath", NULL AS "revision", NULL AS "nodeMask",
       constant_memory_bytes AS "constantMemory", NULL AS "maxIPC",
       max_registers_per_block AS "maxRegistersPerBlock",
       max_shared_per_block AS "maxShmemPerBlock",
       max_shared_per_block_optin AS "maxShmemPerBlockOptin", max_shared_per_sm AS "maxShmemPerSm",
       max_registers_per_sm AS "maxRegistersPerSm", threads_per_warp AS "threadsPerWarp",
       async_engines AS "asyncEngines", max_warps_per_sm AS "maxWarpsPerSm",
       max_blocks_per_sm AS "maxBlocksPerSm", max_threads_per_block AS "maxThreadsPerBlock",
       max_block_x AS "maxBlockDimX", max_block_y AS "maxBlockDimY", max_block_z AS "maxBlockDimZ",
       max_grid_x AS "maxGridDimX", max_grid_y AS "maxGridDimY", max_grid_z AS "maxGridDimZ",
       compute_major AS "computeMajor", compute_minor AS "computeMinor",
       compute_major AS "smMajor", compute_minor AS "smMinor", NULL AS "numaNodeId"
  FROM hc_gpu
UNION ALL
SELECT DISTINCT 0 AS "vmId", device AS "id", name AS "name", NULL AS "busLocation",
       NULL AS "isDiscrete", NULL AS "l2CacheSize", memory_bytes AS "totalMemory",
       NULL AS "memoryBandwidth", NULL AS "clockRate", num_sms AS "smCount", NULL AS "pwGpuId",
       NULL AS "uuid", NULL AS "luid", NULL AS "chipName", device AS "cuDevice",
       NULL AS "ctxswDevPath", NULL AS "ctrlDevPath", NULL AS "revision", NULL AS "nodeMask",
       NULL AS "constantMemory", NULL AS "maxIPC", NULL AS "maxRegistersPerBlock",
       NULL AS "maxShmemPerBlock", NULL AS "maxShmemPerBlockOptin", NULL AS "maxShmemPerSm",
       NULL AS "maxRegistersPerSm", NULL AS "threadsPerWarp", NULL AS "asyncEngines",
       NULL AS "maxWarpsPerSm", NULL AS "maxBlocksPerSm", NULL AS "maxThreadsPerBlock",
       NULL AS "maxBlockDimX", NULL AS "maxBlockDimY", NULL AS "maxBlockDimZ",
       NULL AS "maxGridDimX", NULL AS "maxGridDimY", NULL AS "maxGridDimZ",
       CAST(substr(compute_capability, 1, instr(compute_capability, '.') - 1) AS INTEGER)
           AS "computeMajor",
       CAST(substr(compute_capability, instr(compute_capability, '.') + 1) AS INTEGER)
           AS "computeMinor",
       NULL AS "smMajor", NULL AS "smMinor", NULL AS "numaNodeId"
  FROM hc_machine WHERE device >= 0 AND device NOT IN (SELECT device FROM hc_gpu);

CREATE VIEW TARGET_INFO_SESSION_START_TIME AS
SELECT iif((SELECT value FROM hc_meta WHERE key = 'clock') = 'CLOCK_REALTIME',
           (SELECT CAST(value AS INTEGER) FROM hc_meta WHERE key = 'epoch_ns'),
           CAST(strftime('%s', value) AS INTEGER) * 1000000000) AS "utcEpochNs",
       value AS "utcTime", NULL AS "localTime",
       (SELECT CAST(value AS INTEGER) FROM hc_meta WHERE key = 'epoch_ns') AS "systemClockNs",
       NULL AS "sessionStartCntVctNs"
  FROM hc_meta WHERE key = 'start_utc';

CREATE VIEW ANALYSIS_DETAILS AS
SELECT 0 AS "globalVid", CAST(value AS INTEGER) AS "duration", 0 AS "startTime",
       CAST(value AS INTEGER) AS "stopTime"
  FROM hc_meta WHERE key = 'heartbeat_ns';

CREATE VIEW META_DATA_CAPTURE AS SELECT key AS "name", value AS "value" FROM hc_meta;

CREATE VIEW META_DATA_EXPORT AS
SELECT 'EXPORT_SCHEMA_VERSION' AS "name", '3.28.1' AS "value";

CREATE TABLE ENUM_CUDA_MEMCPY_OPER ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);
INSERT INTO ENUM_CUDA_MEMCPY_OPER VALUES
    (0, 'CUDA_MEMCPY_KIND_UNKNOWN', 'Unknown'), (1, 'CUDA_MEMCPY_KIND_HTOD', 'Host-to-Device'),
    (2, 'CUDA_MEMCPY_KIND_DTOH', 'Device-to-Host'), (3, 'CUDA_MEMCPY_KIND_HTOA', 'Host-to-Array'),
    (4, 'CUDA_MEMCPY_KIND_ATOH', 'Array-to-Host'), (5, 'CUDA_MEMCPY_KIND_ATOA', 'Array-to-Array'),
    (6, 'CUDA_MEMCPY_KIND_ATOD', 'Array-to-Device'),
    (7, 'CUDA_MEMCPY_KIND_DTOA', 'Device-to-Array'),
    (8, 'CUDA_MEMCPY_KIND_DTOD', 'Device-to-Device'),
    (9, 'CUDA_MEMCPY_KIND_HTOH', 'Host-to-Host'), (10, 'CUDA_MEMCPY_KIND_PTOP', 'Peer-to-Peer'),
    (11, 'CUDA_MEMCPY_KIND_UVM_HTOD', 'Unified Host-to-Device'),
    (12, 'CUDA_MEMCPY_KIND_UVM_DTOH', 'Unified Device-to-Host'),
    (13, 'CUDA_MEMCPY_KIND_UVM_DTOD', 'Unified Device-to-Device');

CREATE TABLE ENUM_CUDA_MEM_KIND ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);
INSERT INTO ENUM_CUDA_MEM_KIND VALUES
    (0, 'CUDA_MEMOPR_MEMORY_KIND_PAGEABLE', 'Pageable'),
    (1, 'CUDA_MEMOPR_MEMORY_KIND_PINNED', 'Pinned'),
    (2, 'CUDA_MEMOPR_MEMORY_KIND_DEVICE', 'Device'), (3, 'CUDA_MEMOPR_MEMORY_KIND_ARRAY', 'Array'),
    (4, 'CUDA_MEMOPR_MEMORY_KIND_MANAGED', 'Managed'),
    (5, 'CUDA_MEMOPR_MEMORY_KIND_DEVICE_STATIC', 'Device Static'),
    (6, 'CUDA_MEMOPR_MEMORY_KIND_MANAGED_STATIC', 'Managed Static'),
    (7, 'CUDA_MEMOPR_MEMORY_KIND_UNKNOWN', 'Unknown');

CREATE TABLE ENUM_CUPTI_SYNC_TYPE ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);
INSERT INTO ENUM_CUPTI_SYNC_TYPE VALUES
    (0, 'CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_UNKNOWN', 'Unknown'),
    (1, 'CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_EVENT_SYNCHRONIZE', 'Event sync'),
    (2, 'CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT', 'Stream wait sync'),
    (3, 'CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_SYNCHRONIZE', 'Stream sync'),
    (4, 'CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_CONTEXT_SYNCHRONIZE', 'Context sync');

CREATE TABLE ENUM_NSYS_EVENT_TYPE ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);
INSERT INTO ENUM_NSYS_EVENT_TYPE VALUES
    (33, 'NvtxCategory', 'NvtxCategory'), (34, 'NvtxMark', 'NvtxMark'),
    (39, 'NvtxThread', 'NvtxThread'), (59, 'NvtxPushPopRange', 'NvtxPushPopRange'),
    (60, 'NvtxStartEndRange', 'NvtxStartEndRange'),
    (75, 'NvtxDomainCreate', 'NvtxDomainCreate'), (76, 'NvtxDomainDestroy', 'NvtxDomainDestroy');

-- Kept empty: the export has them, and its queries join them without needing a row.
CREATE TABLE ENUM_CUPTI_STREAM_TYPE ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);
CREATE TABLE ENUM_CUPTI_OVERHEAD_TYPE
    ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);
CREATE TABLE ENUM_NSYS_EVENT_CLASS ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);
CREATE TABLE ENUM_CUDA_KERNEL_LAUNCH_TYPE
    ("id" INTEGER NOT NULL PRIMARY KEY, "name" TEXT, "label" TEXT);

-- INDEXES
CREATE INDEX IF NOT EXISTS hc_step_by_run ON hc_step (run, step);
CREATE INDEX IF NOT EXISTS hc_op_by_step ON hc_op_row (run, step);
CREATE INDEX IF NOT EXISTS hc_edge_by_run ON hc_edge (run, from_op);
CREATE INDEX IF NOT EXISTS hc_drift_by_step ON hc_drift (run, step);
CREATE INDEX IF NOT EXISTS hc_retrieval_by_check ON hc_retrieval (run, check_id);
CREATE INDEX IF NOT EXISTS hc_rows_by_step ON hc_rows (run, step);
CREATE INDEX IF NOT EXISTS hc_attention_by_step ON hc_attention (run, step);
CREATE INDEX IF NOT EXISTS hc_recall_by_step ON hc_recall (run, step);
CREATE INDEX IF NOT EXISTS hc_kernel_by_correlation ON hc_kernel (correlation_id);
CREATE INDEX IF NOT EXISTS hc_memcpy_by_correlation ON hc_memcpy (correlation_id);
CREATE INDEX IF NOT EXISTS hc_memset_by_correlation ON hc_memset (correlation_id);
CREATE INDEX IF NOT EXISTS hc_sync_by_correlation ON hc_sync (correlation_id);
CREATE INDEX IF NOT EXISTS hc_api_by_correlation ON hc_api (correlation_id);
-- The calls inside an NVTX range of a thread.
CREATE INDEX IF NOT EXISTS hc_api_by_thread ON hc_api (thread, start_ns);
CREATE INDEX IF NOT EXISTS hc_external_by_correlation ON hc_external (correlation_id);
