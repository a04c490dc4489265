"""What Ollama's runners and engines say, beyond the lines that have typed fields: each a plain note.

A row is: first and last version, level, file, message with Go's verbs, keys behind it.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.ollama_note import notes
from vramctl.logs.rule import Rule

_RUNNER = r"""
0.9.3-now | WARN | ggml.go | array values are unexpectedly negative | i,key,max,min,v
0.11.11-now | DEBUG | ggml.go | default cache size estimate | attention MiB,attention bytes,recurrent MiB,recurrent bytes
0.11.11-now | WARN | ggml.go | got more elements of attention.head_count than layers | layers,len(headCount),len(headCountKV)
0.17.1-now | WARN | ggml.go | got more elements of feed_forward_length than layers | layers,len(ffnLength)
0.11.5-0.12.3 | WARN | ggml.go | model only supports non-quantized cache types | mode,model
0.6.1-0.12.10 | WARN | ggml.go | unknown patch size for vision model
0.7.0-now | WARN | type.go | unsupported file type | type
0.9.1-0.31.1 | ERROR | lazy.go | error reading tensor | error,index
0.4.3-0.12.11 | DEBUG | causal.go | defragmenting kv cache
0.11.1-0.12.3 | WARN | causal.go | unable to find a kv cache slot | cache
0.11.11-0.24.0 | DEBUG | llama.go | chunk tokens | index,numTokens
0.11.11-0.12.5 | DEBUG | llama.go | image embeddings | totalEmbeddings
0.12.6-0.24.0 | DEBUG | llama.go | image tokenization chunks | totalChunks
0.0.13-0.0.17 | INFO | llama.go | prompt: num_past=%d cached=%v eval=%v
0.5.0-0.5.1 | WARN | llama.go | unable to convert schema to grammar
0.3.13-0.24.0 | DEBUG | cache.go | evicting cache slot | id,inputs,used
0.3.13-0.24.0 | DEBUG | cache.go | forking cache slot | dst,inputs,src,total
0.3.13-0.24.0 | DEBUG | cache.go | loading image embeddings from cache | entry
0.3.13-0.24.0 | DEBUG | cache.go | storing image embeddings in cache | entry,used
0.1.33-0.24.0 | ERROR | runner.go | Failed to acquire semaphore | error
0.3.13-0.4.2 | ERROR | runner.go | failed to decode batch | error
0.3.13-0.24.0 | DEBUG | runner.go | hit stop token | pending,stop
0.4.2-0.4.2 | WARN | runner.go | input exceeds context length | limit,prompt
0.4.2-0.4.2 | ERROR | runner.go | removing sequence due to no input tokens | cache id,index
0.3.13-0.24.0 | INFO | runner.go | server error: %s
0.3.13-0.3.14 | DEBUG | runner.go | system info | cpu,threads
0.1.29-0.4.7 | WARN | dyn_ext_server.go | Prompt does not specify that the LLM should response in JSON, but JSON format is expected. For best results specify that JSON is expected in the system prompt.
0.1.18-0.1.31 | INFO | dyn_ext_server.go | concurrent llm servers not yet supported, waiting for prior server to complete
0.1.21-0.1.31 | DEBUG | dyn_ext_server.go | failure during initialization: %s
0.1.15-0.1.31 | INFO | dyn_ext_server.go | loaded %d images
0.1.29-0.1.31 | DEBUG | dyn_ext_server.go | server params: %+v
0.0.18-0.0.19 | INFO | ggml_llama.go | copy llama.cpp %s: %v
0.0.18-0.0.19 | INFO | ggml_llama.go | llama.cpp executable not found
0.0.18-0.0.19 | INFO | ggml_llama.go | llama.cpp: failed to create temp dir: %v
0.0.18-0.0.19 | INFO | ggml_llama.go | read llama.cpp %s: %v
0.0.18-0.0.19 | INFO | ggml_llama.go | write llama.cpp %s: %v
0.1.32-0.1.32 | DEBUG | gguf.go | general.architecture = %s
0.1.32-0.1.45 | DEBUG | gguf.go | model = %#v
0.1.29-0.1.31 | DEBUG | gguf.go | tensors offset = %x
0.0.19-0.0.19 | INFO | gguf.go | unknown model family: %T
0.0.20-0.1.17 | INFO | llama.go | copy llama runner %s: %v
0.0.20-0.1.17 | INFO | llama.go | create runner temp dir %s: %v
0.0.19-0.0.19 | INFO | llama.go | error starting the external llama.cpp server: %v
0.0.20-0.1.1 | INFO | llama.go | llama runner exited
0.0.20-0.1.17 | INFO | llama.go | llama runner not found: %v
0.0.19-0.0.19 | INFO | llama.go | llama.cpp server exited with error: %v
0.0.15-0.0.17 | INFO | llama.go | must disable mmap to use lora adapters
0.0.20-0.1.17 | INFO | llama.go | read llama runner %s: %v
0.0.20-0.1.17 | INFO | llama.go | stat llama runner %s: %v
0.0.20-0.1.17 | INFO | llama.go | unknown OS, running on CPU: %s
0.0.20-0.1.17 | INFO | llama.go | write llama runner %s: %v
0.31.2-now | WARN | llama_server.go | invalid llama-server fit target | env,error,value
0.30.0-now | DEBUG | llama_server.go | llama-server buffer sizes not available, falling back to file size estimate | model
0.30.0-now | DEBUG | llama_server.go | llama-server chat request | messages,tools
0.30.0-now | DEBUG | llama_server.go | llama-server completion request | media,prompt_len
0.30.0-now | DEBUG | llama_server.go | llama-server unhealthy | error
0.1.18-0.1.20 | INFO | llm.go | Failed to load dynamic library %s - falling back to CPU mode %s
0.1.21-0.5.7 | INFO | llm.go | Invalid OLLAMA_LLM_LIBRARY %s - not found
0.1.21-0.1.31 | INFO | llm.go | Loading OLLAMA_LLM_LIBRARY=%s
0.0.15-0.0.16 | INFO | llm.go | WARNING: GPU disabled for F32, F16, Q5_0, Q5_1, and Q8_0
0.0.17-0.1.17 | INFO | llm.go | WARNING: GPU disabled for F32, Q5_0, Q5_1, and Q8_0
0.1.19-0.1.19 | INFO | llm.go | bytes per layer: %s
0.1.21-0.1.31 | WARN | llm.go | requested context length is greater than model's max context length (%d > %d), using %d instead
0.1.19-0.1.19 | INFO | llm.go | required alloc bytes: %s
0.1.19-0.1.19 | INFO | llm.go | required model bytes: %s
0.1.19-0.1.19 | INFO | llm.go | required total bytes: %s
0.1.19-0.1.19 | INFO | llm.go | splitting %s
0.1.19-0.1.19 | INFO | llm.go | system memory bytes: %s
0.1.19-0.1.19 | INFO | llm.go | total required with split: %s
0.1.45-0.24.0 | WARN | memory.go | model missing blk.0 layer size
0.1.32-0.1.34 | WARN | memory.go | requested context length is greater than model max context length | model,requested
0.1.33-0.1.33 | INFO | memory.go | user override memory limit | OLLAMA_MAX_VRAM,actual
0.30.0-now | DEBUG | rocm_windows.go | keeping bundled ROCm runtime because companion DLL version is unavailable | bundled,name,system
0.30.0-now | DEBUG | rocm_windows.go | keeping bundled ROCm runtime because system companion DLL is missing | bundled,name,system
0.30.0-now | DEBUG | rocm_windows.go | keeping bundled ROCm runtime because system companion DLL is older | bundled,bundled_version,name,system,system_version
0.30.0-now | DEBUG | rocm_windows.go | selected windows ROCm runtime | bundled,bundled_version,name,path,runtime_source,system,system_version
0.30.0-now | DEBUG | rocm_windows.go | windows ROCm runtime selection unavailable | error
0.1.32-0.5.7 | DEBUG | server.go | ResolveTCPAddr failed | error
0.5.8-0.12.6 | DEBUG | server.go | adding gpu dependency paths | paths
0.5.8-0.12.6 | DEBUG | server.go | adding gpu library | path
0.5.8-0.11.4 | DEBUG | server.go | compatible gpu libraries | compatible
0.7.0-0.24.0 | DEBUG | server.go | completion request | format,images,prompt
0.1.33-0.1.38 | INFO | server.go | context expired before server started
0.20.4-0.24.0 | DEBUG | server.go | disabling flash attention for gemma4 on pre-Turing GPU | compute
0.11.5-0.11.10 | INFO | server.go | enabling new memory estimates
0.11.5-0.24.0 | DEBUG | server.go | exploring intermediate layers | layer
0.1.33-0.3.13 | ERROR | server.go | failed to lookup system memory | error
0.1.33-0.5.1 | WARN | server.go | failed to reinitialize payloads | error
0.12.4-0.24.0 | DEBUG | server.go | failure refreshing GPU information | error
0.5.0-0.5.1 | WARN | server.go | format is neither a schema or "json" | format
0.3.13-0.6.4 | DEBUG | server.go | got line | line
0.2.0-0.3.10 | WARN | server.go | llama server binary disappeared, reinitializing payloads
0.1.33-0.5.1 | WARN | server.go | llama server disappeared, reinitializing payloads | error,path
0.12.4-0.24.0 | DEBUG | server.go | llamarunner free vram reporting not supported
0.1.33-0.1.33 | ERROR | server.go | misconfiguration | error
0.11.5-0.24.0 | DEBUG | server.go | new layout created | layers
0.3.13-0.5.13 | DEBUG | server.go | new runner detected, loading model for cgo tokenization
0.5.0-0.5.1 | WARN | server.go | prompt does not specify that the LLM should response in JSON, but JSON format is expected. For best results specify that JSON is expected in the system prompt.
0.1.33-0.1.34 | WARN | server.go | requested context length is greater than the model's training context window size | requested,training size
0.1.35-0.5.7 | ERROR | server.go | server list inconsistent | error
0.1.32-0.1.34 | DEBUG | server.go | server not yet available | error
0.1.32-0.24.0 | DEBUG | server.go | server unhealthy | error
0.1.33-0.1.48 | DEBUG | server.go | setting token limit to 10x num_ctx | num_ctx,num_predict
0.1.33-0.1.34 | ERROR | server.go | sever list inconsistent | error
0.5.8-0.12.6 | WARN | server.go | unable to start runner with compatible gpu | compatible,error
0.1.32-0.5.7 | INFO | server.go | user override | OLLAMA_LLM_LIBRARY,path
0.5.8-0.12.6 | INFO | server.go | using requested gpu library | requested
0.11.5-0.24.0 | DEBUG | server.go | verifying layout | layers
0.1.18-0.1.20 | INFO | shim_ext_server.go | Dynamic LLM variants %v
0.30.0-now | DEBUG | vulkan_windows.go | selected windows Vulkan loader | bundled,bundled_version,loader_source,path,system,system_version
0.30.0-now | DEBUG | vulkan_windows.go | windows Vulkan loader selection unavailable | error
0.5.12-0.5.13 | INFO | ggml.go | cpu | device
0.23.0-0.24.0 | ERROR | ggml.go | failed to initialize ggml backend device | device,type
0.5.12-0.5.13 | INFO | ggml.go | gpu | device
0.12.4-0.24.0 | DEBUG | ggml.go | skipping unused backend device | description
0.6.7-0.24.0 | DEBUG | ggml.go | OLLAMA_LIBRARY_PATH not set, falling back to default | search
0.5.8-0.24.0 | ERROR | ggml.go | failed to get absolute path | error
0.5.8-0.24.0 | WARN | ggml.go | failed to get executable path | error
0.5.8-0.24.0 | DEBUG | ggml.go | ggml backend load all from path | path
0.5.9-0.24.0 | DEBUG | ggml.go | skipping path which is not part of ollama | path
0.30.0-now | WARN | device.go | CUDA driver version unavailable; allowing flash attention based on compute capability | compute,device
0.23.0-now | WARN | device.go | conflicting device environment override | existing,id,key,library,new
0.12.4-now | DEBUG | device.go | unexpected libraries | a,b
0.6.4-0.24.0 | DEBUG | cache.go | kv cache cannot shift, clearing cache and returning inputs for reprocessing | id
0.6.4-0.24.0 | DEBUG | cache.go | kv cache removal not supported, clearing cache and returning inputs for reprocessing | id
0.6.4-0.24.0 | DEBUG | cache.go | kv cache removal unsupported, clearing cache and returning inputs for reprocessing | error,id
0.12.4-0.24.0 | DEBUG | runner.go | dummy model load took | duration
0.12.4-0.24.0 | DEBUG | runner.go | gathering device infos took | duration
0.6.0-0.11.9 | WARN | runner.go | generation of embedding outputs not yet supported | id,seqIdx
0.16.0-0.18.2 | INFO | cache.go | Cache hit | cached,left,total,trimmed,type
0.16.0-0.18.2 | INFO | cache.go | Cache miss | left,matched,reason
0.18.3-0.30.7 | WARN | cache.go | attachSnapshots skipped: node is not the active frontier | nodeEndOffset
0.18.3-0.18.3 | INFO | cache.go | cache hit
0.18.3-0.18.3 | INFO | cache.go | cache miss
0.18.3-now | WARN | cache.go | failed to restore cache, freeing all caches | offset
0.18.3-0.30.7 | WARN | cache.go | snapshot skipped: cacheOffset is behind frontier | cacheOffset,frontierEndOffset
0.17.5-0.18.1 | WARN | client.go | failed to get current memory | error
0.15.5-now | INFO | client.go | mlx runner is ready | port
0.15.5-now | INFO | client.go | starting mlx runner subprocess | exe,mode,model,port
0.15.5-now | INFO | client.go | stopping mlx runner subprocess | pid
0.32.7-now | WARN | media.go | media not referenced by prompt | id
0.16.0-0.17.7 | ERROR | dynamic.go | Failed to load MLX dynamic library | path
0.16.0-0.17.7 | ERROR | dynamic.go | Failed to load MLX dynamic library symbols | path
0.16.0-0.16.1 | INFO | dynamic.go | Loaded MLX dynamic library | path
0.16.0-0.16.1 | INFO | dynamic.go | Loading MLX dynamic library | path
0.32.6-now | WARN | gpu_kernel.go | custom GPU kernel backend disabled | backend,kernel,reason
0.23.1-now | INFO | base.go | Draft model architecture | arch
0.16.0-now | INFO | base.go | Model architecture | arch
0.23.1-0.30.7 | WARN | mtp.go | MTP batched validation differs from serial validation | batched,batched_slice,batched_slice_margin,batched_slice_top1,batched_slice_top2,draft,position,serial,serial_margin,serial_top1,serial_top2
0.23.1-0.30.10 | INFO | mtp.go | MTP decode stats | acceptance,accepted,all_accepted,avg_accepted,avg_draft,batch_serial_mismatches,batched,compared,draft_duration,draft_schedule,drafted,generated,iterations,max_draft,mismatches,mode,serial,target_duration,validate_duration
0.23.1-0.30.10 | INFO | mtp.go | MTP greedy decode enabled | compare_serial_validate,draft_schedule,initial_draft_tokens,max_draft_tokens,serial_validate
0.23.1-0.30.10 | INFO | mtp.go | MTP sample decode enabled | draft_schedule,initial_draft_tokens,max_draft_tokens,serial_validate
0.23.1-0.30.10 | WARN | mtp.go | invalid MTP env setting | key,value
0.16.0-0.21.0 | ERROR | pipeline.go | Failed to write token to buffer | error
0.16.0-now | INFO | pipeline.go | Prompt processing progress | processed,total
0.17.6-now | INFO | pipeline.go | peak memory | size
0.23.1-now | INFO | runner.go | Loaded draft model | arrays,config,tensor_prefix
0.16.2-now | INFO | runner.go | Loaded tensors from manifest | count
0.32.4-now | WARN | runner.go | MLX model exceeds the recommended working set; performance may be degraded | active,recommended
0.17.1-now | INFO | runner.go | Request terminated | error
0.16.0-now | INFO | runner.go | Starting HTTP server | host,port
0.32.4-now | WARN | runner.go | Unable to configure MLX wired memory; using pageable memory | active,error,limit
0.32.4-now | WARN | runner.go | Unable to query MLX recommended working set; using pageable memory | error
0.16.0-now | ERROR | server.go | Failed to decode request | error
0.16.0-now | ERROR | server.go | Failed to encode response | error
0.23.1-0.23.2 | ERROR | server.go | Failed to read MLX memory status | error
0.16.0-now | ERROR | server.go | Failed to read request body | error
0.18.0-now | INFO | server.go | MLX engine initialized | MLX version,device
0.30.11-now | INFO | speculate_stats.go | speculative decode stats | acceptance,accepted,avg_accepted,avg_draft,depth_over_time,drafted,iterations,max_draft
"""
_MODEL = r"""
0.12.2-0.31.1 | WARN | model.go | gguf tag has alt: but no primary name | tag
0.20.0-0.31.1 | INFO | model.go | audio: decode | duration_s,elapsed,samples
0.20.0-0.31.1 | INFO | model.go | audio: encoded | elapsed,shape
0.20.0-0.31.1 | INFO | model.go | audio: mel | elapsed,frames
0.20.0-0.31.1 | INFO | model.go | gemma4: token IDs | audio,audio_end,image,image_end
0.20.0-0.31.1 | INFO | model.go | vision: decode | bounds,elapsed
0.20.0-0.31.1 | INFO | model.go | vision: encoded | elapsed,shape
0.20.0-0.31.1 | INFO | model.go | vision: patches | patchSize,patchesX,patchesY,total
0.20.0-0.31.1 | INFO | model.go | vision: pixelValues | dim0,dim1,dim2,shape
0.20.0-0.31.1 | INFO | model.go | vision: preprocess | elapsed,size
0.15.5-0.24.0 | WARN | imageprocessor.go | aspect ratio exceeds 200, image quality may be affected | aspect_ratio
0.15.5-0.24.0 | WARN | imageprocessor.go | num_frames must be >= temporal_patch_size, adjusting num_frames | num_frames,temporal_patch_size
0.15.5-0.24.0 | WARN | imageprocessor.go | temporal_patch_size must be > 0, defaulting to 1
0.15.5-0.24.0 | ERROR | model_vision.go | VisionDownsample weights not loaded - model may be corrupted or incompatible
0.15.5-0.24.0 | WARN | model_vision.go | glmocr: vision attention falling back to manual attention | batchSize,hint,numHeads
0.17.1-0.24.0 | WARN | mamba2.go | nemotronh: failed to get SSM state, using zeros | error,layer
0.17.1-0.24.0 | WARN | mamba2.go | nemotronh: failed to get conv state, using zeros | error,layer
0.15.5-0.17.0 | DEBUG | checkpoints.go | qwen3next: checkpoint miss | last,max,min,seq,size,slot,target
0.15.5-0.24.0 | WARN | deltanet.go | qwen3next: failed to get conv state, using zeros | error,layer
0.15.5-0.24.0 | WARN | deltanet.go | qwen3next: failed to get delta state, using zeros | error,layer
0.6.0-0.6.3 | DEBUG | process_text_spm.go | candidate | candidate
0.6.0-0.6.3 | DEBUG | process_text_spm.go | fragments | frags
0.6.0-0.6.3 | DEBUG | process_text_spm.go | merges | merges
0.6.0-0.6.3 | DEBUG | process_text_spm.go | missing token | token
0.6.0-0.6.3 | DEBUG | process_text_spm.go | pair | left,right
0.6.0-0.6.3 | DEBUG | process_text_spm.go | tokenizer | merges
0.32.14-now | WARN | qwen35.go | non-leading system message | renderer
0.32.13-now | WARN | qwen35.go | unexpected message role | renderer,role
0.5.13-now | DEBUG | vocabulary.go | adding bos token to prompt | id
0.5.13-now | WARN | vocabulary.go | adding bos token to prompt which already has it | id
0.5.13-now | DEBUG | vocabulary.go | adding eos token to prompt | id
0.5.13-now | WARN | vocabulary.go | adding eos token to prompt which already has it | id
0.6.4-now | DEBUG | bytepairencoding.go | unknown byte token | byte,token
0.14.0-0.15.5 | INFO | backend.go | Defaulting to %s. Set OLLAMA_BACKEND to override
0.14.0-0.15.5 | INFO | backend.go | Loading new engine | backend
0.14.0-0.15.5 | INFO | mlx.go | Fetching | tensor,type
0.14.0-0.15.5 | INFO | mlx.go | Loading tensors from | filename
0.14.0-0.15.5 | INFO | mlx.go | MLX.NewContext
0.14.0-0.15.5 | INFO | mlx.go | MLX.RMSNorm | a,w
0.14.0-0.15.5 | ERROR | mlx.go | Permute error | shape,tensor
0.14.0-0.15.5 | WARN | mlx.go | unable to locate | tensor
0.14.0-0.15.5 | INFO | normalization.go | RMSNorm | eps
"""

NOTES_RUNNER: tuple[Rule, ...] = notes("runner", _RUNNER) + notes("model", _MODEL)
