"""What Ollama says while it looks for GPUs, beyond the lines that have typed fields: each a plain note.

A row is: first and last version, level, file, message with Go's verbs, keys behind it.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.ollama_note import notes
from vramctl.logs.rule import Rule

_GPU = r"""
0.30.0-now | DEBUG | amd.go | linux rocm device refinement applied | devices
0.30.0-now | DEBUG | amd.go | linux rocm device refinement index mismatch | device,kfd_gfx,llama_server_gfx
0.30.0-now | DEBUG | amd.go | linux rocm device refinement skipped: device count mismatch | kfd_count,llama_server_count
0.30.0-now | DEBUG | amd.go | linux rocm device refinement skipped: no stable match | device,gfx,pci_id
0.30.0-now | DEBUG | amd.go | linux rocm device refinement unavailable | error
0.30.0-now | DEBUG | amd.go | linux rocm sysfs device skipped | error,node
0.1.29-0.12.3 | DEBUG | amd_common.go | detected ROCM next to ollama executable %s
0.1.29-0.12.3 | DEBUG | amd_common.go | detected ROCM via HIP_PATH=%s
0.1.29-0.12.3 | DEBUG | amd_common.go | evaluating potential rocm lib dir %s
0.1.33-0.11.8 | DEBUG | amd_common.go | rocmGetVisibleDevicesEnv skipping over non-rocm device | library
0.1.29-0.12.3 | INFO | amd_hip_windows.go | AMD ROCm reports no devices found
0.1.29-0.12.3 | ERROR | amd_hip_windows.go | dll has been unloaded
0.1.33-0.12.3 | WARN | amd_hip_windows.go | failed call to hipGetDeviceCount | error,status
0.1.33-0.12.3 | WARN | amd_hip_windows.go | failed to unload amdhip64.dll | error
0.1.35-0.12.3 | DEBUG | amd_hip_windows.go | hipDriverGetVersion | version
0.1.32-0.12.3 | WARN | amd_linux.go | See https://github.com/ollama/ollama/blob/main/docs/gpu.md#overrides for HSA_OVERRIDE_GFX_VERSION usage
0.1.29-0.12.3 | DEBUG | amd_linux.go | amdgpu driver not detected %s
0.1.33-0.12.3 | DEBUG | amd_linux.go | detected CPU %s
0.1.33-0.12.3 | DEBUG | amd_linux.go | error looking up amd driver | error,path
0.1.33-0.12.3 | DEBUG | amd_linux.go | evaluating amdgpu node %s
0.1.33-0.12.3 | DEBUG | amd_linux.go | failed to open sysfs node | erroir,error,file
0.1.33-0.3.14 | DEBUG | amd_linux.go | failed to parse node ID | error
0.1.45-0.12.3 | DEBUG | amd_linux.go | failed to parse sysfs node | error,file
0.1.33-0.12.3 | DEBUG | amd_linux.go | failed to read sysfs node | error,file
0.1.45-0.12.3 | DEBUG | amd_linux.go | failed to update used memory | error
0.5.2-0.12.3 | ERROR | amd_linux.go | invalid RocmComputeMajorMin setting | error,value
0.1.45-0.12.3 | DEBUG | amd_linux.go | malformed | device_id,error,unique_id,vendor_id
0.1.25-0.12.3 | DEBUG | amd_linux.go | malformed int %s
0.1.45-0.12.3 | DEBUG | amd_linux.go | mapping amdgpu to drm sysfs nodes | amdgpu,device,unique_id,vendor
0.1.45-0.12.3 | DEBUG | amd_linux.go | matched | amdgpu,drm
0.10.1-0.12.3 | WARN | amd_linux.go | ollama recommends running the https://www.amd.com/en/support/download/linux-drivers.html | error
0.1.33-0.10.0 | WARN | amd_linux.go | ollama recommends running the https://www.amd.com/en/support/linux-drivers | error
0.3.1-0.12.3 | DEBUG | amd_linux.go | parse err | error,match
0.1.33-0.12.3 | DEBUG | amd_linux.go | rocm supported GPUs | types
0.4.0-0.12.3 | DEBUG | amd_linux.go | skipping gpu with gfx000
0.1.35-0.12.3 | INFO | amd_linux.go | skipping rocm gfx compatibility check | HSA_OVERRIDE_GFX_VERSION
0.1.29-0.12.3 | INFO | amd_windows.go | [%d] Integrated: %d
0.1.33-0.12.3 | DEBUG | amd_windows.go | detected hip devices | count
0.1.29-0.12.3 | DEBUG | amd_windows.go | detected ollama installed ROCm at %s
0.1.33-0.12.3 | DEBUG | amd_windows.go | error looking up amd driver version | error
0.1.33-0.12.3 | WARN | amd_windows.go | get mem info | error,id
0.1.33-0.12.3 | WARN | amd_windows.go | get properties | error,id
0.1.33-0.12.3 | DEBUG | amd_windows.go | hip device | gfx,id,name
0.1.33-0.12.3 | WARN | amd_windows.go | set device | error,id
0.12.4-0.24.0 | WARN | cpu_linux.go | failed to get CPU details | error
0.13.0-0.24.0 | WARN | cpu_linux.go | failed to parse CPU allowed micro secs | error
0.13.0-0.24.0 | WARN | cpu_linux.go | failed to parse CPU unit micro secs | error
0.3.14-0.24.0 | INFO | cpu_windows.go | efficiency cores detected | maxEfficiencyClass
0.1.33-0.11.8 | DEBUG | cuda_common.go | cudaGetVisibleDevicesEnv skipping over non-cuda device | library
0.1.33-0.12.3 | DEBUG | gpu.go | Searching for GPU library | name
0.1.33-0.12.3 | DEBUG | gpu.go | detected GPUs | count,library
0.1.33-0.12.3 | DEBUG | gpu.go | discovered GPU libraries | paths
0.1.33-0.12.3 | WARN | gpu.go | error looking up nvidia GPU memory | error
0.1.45-now | WARN | gpu.go | error looking up system memory | error
0.3.14-0.12.3 | WARN | gpu.go | failed to lookup CPU details | error
0.1.33-0.5.7 | WARN | gpu.go | failed to lookup executable path | error
0.1.33-0.5.1 | WARN | gpu.go | failed to lookup working directory | error
0.1.33-0.12.3 | DEBUG | gpu.go | gpu library search | globs
0.5.2-0.12.3 | ERROR | gpu.go | invalid CudaComputeMajorMin setting | error,value
0.5.2-0.12.3 | ERROR | gpu.go | invalid CudaComputeMinorMin setting | error,value
0.1.45-0.12.3 | WARN | gpu.go | nil oneapi handle with device count | count
0.1.45-0.12.3 | WARN | gpu.go | nil oneapi handle with driver count | count
0.1.33-0.11.8 | DEBUG | gpu.go | no filter required for library %s
0.1.45-0.12.3 | WARN | gpu.go | no valid cuda library loaded to refresh vram usage
0.1.45-0.12.3 | DEBUG | gpu.go | nvidia-ml loaded | library
0.1.45-0.12.3 | DEBUG | gpu.go | problem refreshing ROCm free memory | error
0.1.45-0.12.3 | DEBUG | gpu.go | searching for GPU discovery libraries for NVIDIA
0.2.0-0.12.3 | DEBUG | gpu.go | skipping 32bit library | library
0.1.34-0.12.3 | DEBUG | gpu.go | skipping PhysX cuda library path | path
0.3.7-0.5.7 | WARN | gpu.go | unable to locate gpu dependency libraries | error
0.12.4-now | DEBUG | gpu.go | unrecognized L4T version | nv_tegra_release
0.3.14-0.24.0 | WARN | gpu_darwin.go | failed to discover physical CPU details | error,query
0.1.40-0.11.8 | DEBUG | gpu_oneapi.go | oneapiGetVisibleDevicesEnv skipping over non-sycl device | library
0.30.0-now | DEBUG | llama_server.go | llama-server --list-devices failed | error,exit
0.30.0-now | DEBUG | llama_server.go | llama-server device discovery took | duration,libDirs
0.30.0-now | WARN | llama_server.go | llama-server discovery: could not determine compiled CUDA architectures — architecture filtering disabled. If inference crashes on older GPUs, check llama-server system_info output for ARCHS. | device,libDirs
0.30.0-now | WARN | llama_server.go | llama-server discovery: could not determine compute capability for CUDA device — architecture filtering disabled for this device. If inference crashes, check that the CUDA backend supports this GPU. | device,libDirs
0.30.0-now | DEBUG | llama_server.go | llama-server discovery: failed to create stderr pipe | error
0.30.0-now | DEBUG | llama_server.go | llama-server discovery: failed to start | error
0.30.0-now | DEBUG | llama_server.go | llama-server discovery: server startup exited | error,exit,libDirs
0.30.0-now | DEBUG | llama_server.go | llama-server discovery: stopped subprocess after collecting GPU info | exit,libDirs
0.30.0-now | WARN | llama_server.go | llama-server discovery: system_info line not found in output - CUDA architecture filtering will be disabled. If GPU inference fails, this may indicate an incompatible llama-server version. | libDirs,lines_captured
0.30.0-now | DEBUG | llama_server.go | llama-server not available for device discovery | error
0.30.0-now | DEBUG | llama_server.go | skipping Vulkan native metadata with mismatched device name | llama_server_name,native_name
0.30.0-now | DEBUG | llama_server.go | skipping Vulkan native metadata with mismatched memory | llama_server_name,llama_server_total,native_total
0.30.0-now | DEBUG | llama_server.go | skipping pseudo-device with zero memory | description,name
0.30.0-now | DEBUG | native_probe.go | native GPU discovery failed | error,libDirs,stderr
0.30.0-now | DEBUG | native_probe_linux.go | GGML GPU device type | ggml_type,index,integrated,library
0.5.8-now | DEBUG | runner.go | ResolveTCPAddr failed, using random port
0.12.6-0.12.9 | ERROR | runner.go | Unknown Library:%s
0.12.10-now | DEBUG | runner.go | adjusting filtering IDs | FilterID,new_ID
0.12.6-0.12.6 | DEBUG | runner.go | dropping Vulkan duplicate by PCI ID | kept_id,kept_library,pci_id,vulkan_id,vulkan_libdir
0.12.4-now | DEBUG | runner.go | dropping duplicate device | available,compute,description,driver,id,libdirs,library,name,pci_id,total,type
0.13.0-now | DEBUG | runner.go | evaluating which, if any, devices to filter out | initial_count
0.12.7-0.12.11 | DEBUG | runner.go | evluating which if any devices to filter out | initial_count
0.12.4-0.12.5 | DEBUG | runner.go | failed to fetch system memory information for iGPU | error
0.12.4-now | WARN | runner.go | failed to read response | error
0.12.4-now | WARN | runner.go | failed to send request | error
0.12.7-0.24.0 | DEBUG | runner.go | failed to start runner to discovery GPUs | error
0.12.7-now | DEBUG | runner.go | filtering device which didn't fully initialize | id,libdir,library,pci_id
0.12.7-0.12.9 | DEBUG | runner.go | filtering device with duplicate PCI ID | id,kept_id,kept_library,libdir,library,pci_id
0.12.7-now | DEBUG | runner.go | filtering device with overlapping libraries | delete_index,id,kept_library,library
0.12.4-0.12.6 | DEBUG | runner.go | filtering out unsupported or overlapping GPU library combinations | count
0.13.1-now | DEBUG | runner.go | jetpack not detected (set JETSON_JETPACK or OLLAMA_LLM_LIBRARY to override), skipping | libDir
0.30.0-now | DEBUG | runner.go | normalizing AMD visible devices for ROCm discovery | ROCR_VISIBLE_DEVICES,from_env,visible_ordinals
0.12.4-now | DEBUG | runner.go | refreshing free memory
0.23.0-0.24.0 | WARN | runner.go | retrying GPU discovery with Metal tensor API disabled | error
0.30.0-now | WARN | runner.go | retrying llama-server GPU discovery with Metal tensor API disabled | detail,error
0.13.0-now | DEBUG | runner.go | skipping available library at user's request | libDir,requested
0.12.4-0.12.11 | DEBUG | runner.go | skipping available library at users request | libDir,requested
0.12.4-0.12.5 | DEBUG | runner.go | spawing runner with | OLLAMA_LIBRARY_PATH,extra_envs
0.12.6-0.12.6 | DEBUG | runner.go | spawning runner with | OLLAMA_LIBRARY_PATH,extra_envs
0.12.4-0.24.0 | ERROR | runner.go | unable to lookup executable path | error
0.12.4-now | DEBUG | runner.go | unable to lookup runner library directories | error
0.12.4-now | DEBUG | runner.go | unable to refresh all GPUs with existing runners, performing bootstrap discovery
0.12.4-0.12.6 | WARN | runner.go | unable to start discovery subprocess | cmd,error
0.12.4-now | WARN | runner.go | unmarshal encode response | error
0.12.4-0.12.9 | DEBUG | runner.go | verifying GPU is supported | compute,description,id,library,pci_id
0.12.10-0.12.11 | DEBUG | runner.go | verifying device is supported | compute,description,id,library,pci_id
0.13.0-now | DEBUG | runner.go | verifying if device is supported | compute,description,id,library,pci_id
0.30.0-now | DEBUG | vulkan.go | windows vulkan device refinement applied | devices
0.30.11-now | DEBUG | vulkan.go | windows vulkan device refinement skipped: ambiguous device name match | index,llama_server_name
0.30.0-0.30.10 | DEBUG | vulkan.go | windows vulkan device refinement skipped: device count mismatch | llama_server_count,vulkan_count
0.30.0-now | DEBUG | vulkan.go | windows vulkan device refinement skipped: device name mismatch | index,llama_server_name
0.30.11-now | DEBUG | vulkan.go | windows vulkan device refinement skipped: fewer probed devices than llama-server devices | llama_server_count,vulkan_count
0.30.0-now | DEBUG | vulkan.go | windows vulkan device refinement unavailable | error
0.1.26-0.1.28 | DEBUG | amd.go | amd driver not detected %s
0.1.29-0.1.32 | INFO | amd_common.go | Setting HIP_VISIBLE_DEVICES=%s
0.1.29-0.1.32 | WARN | amd_common.go | failed to set env: %s
0.1.29-0.1.32 | WARN | amd_hip_windows.go | failed call to hipGetDeviceCount: %d %s
0.1.29-0.1.32 | WARN | amd_hip_windows.go | failed to unload amdhip64.dll: %s
0.1.25-0.1.34 | INFO | amd_linux.go | AMD Driver: %s
0.1.29-0.3.13 | WARN | amd_linux.go | See https://github.com/ollama/ollama/blob/main/docs/troubleshooting.md for HSA_OVERRIDE_GFX_VERSION usage
0.1.29-0.1.32 | INFO | amd_linux.go | [%d] amdgpu freeMemory %dM
0.1.29-0.1.32 | INFO | amd_linux.go | [%d] amdgpu totalMemory %dM
0.1.29-0.1.32 | INFO | amd_linux.go | all detected amdgpus are skipped, falling back to CPU
0.1.29-0.1.32 | INFO | amd_linux.go | amdgpu [%d] appears to be an iGPU with %dM reported total memory, skipping
0.1.29-0.1.32 | WARN | amd_linux.go | amdgpu [%d] reports zero total memory, skipping
0.1.29-0.1.32 | WARN | amd_linux.go | amdgpu [%d] too old %s
0.1.33-0.1.44 | WARN | amd_linux.go | amdgpu reports zero total memory | gpu
0.1.29-0.1.32 | INFO | amd_linux.go | detected amdgpu versions %v
0.1.29-0.1.32 | DEBUG | amd_linux.go | discovering VRAM for amdgpu devices
0.1.33-0.1.44 | WARN | amd_linux.go | error looking up total GPU memory | error,glob
0.1.29-0.1.32 | WARN | amd_linux.go | error looking up total GPU memory: %s %s
0.1.33-0.1.44 | WARN | amd_linux.go | error looking up used GPU memory | error,glob
0.1.29-0.1.32 | WARN | amd_linux.go | error looking up used GPU memory: %s %s
0.1.33-0.3.13 | WARN | amd_linux.go | failed to lookup supported GFX types, falling back to CPU mode | error
0.1.29-0.1.32 | WARN | amd_linux.go | failed to lookup supported GFX types, falling back to CPU mode: %s
0.1.25-0.1.32 | WARN | amd_linux.go | failed to open sysfs node file %s: %s
0.1.29-0.1.32 | DEBUG | amd_linux.go | failed to parse node ID %s
0.1.29-0.1.32 | WARN | amd_linux.go | failed to read amdgpu sysfs %s - %s
0.1.29-0.1.32 | WARN | amd_linux.go | failed to read sysfs node file %s: %s
0.1.29-0.1.32 | DEBUG | amd_linux.go | host rocm linked %s => %s
0.1.29-0.1.32 | WARN | amd_linux.go | malformed HIP_VISIBLE_DEVICES=%s %s
0.1.29-0.1.32 | WARN | amd_linux.go | malformed amdgpu sysfs node id %s
0.1.35-0.1.44 | DEBUG | amd_linux.go | malformed device_id%s
0.1.33-0.1.44 | WARN | amd_linux.go | malformed used memory | data,error
0.1.29-0.1.32 | WARN | amd_linux.go | malformed used memory %s: %s
0.1.35-0.1.44 | DEBUG | amd_linux.go | malformed vendor_id%s
0.1.33-0.3.13 | INFO | amd_linux.go | no compatible amdgpu devices detected
0.1.29-0.1.32 | WARN | amd_linux.go | ollama recommends running the https://www.amd.com/en/support/linux-drivers: %s
0.1.29-0.1.32 | DEBUG | amd_linux.go | rocm supported GPU types %v
0.1.29-0.1.34 | DEBUG | amd_linux.go | skipping rocm gfx compatibility check with HSA_OVERRIDE_GFX_VERSION=%s
0.1.29-0.1.32 | WARN | amd_linux.go | unable to verify rocm library, will use cpu: %s
0.1.33-0.3.13 | ERROR | amd_linux.go | unexpected amdgpu sysfs data resulted in negative GPU ID, please set OLLAMA_DEBUG=1 and report an issue
0.1.32-0.1.32 | DEBUG | amd_linux.go | updated lib path | LD_LIBRARY_PATH
0.1.29-0.1.32 | INFO | amd_windows.go | [%d] Free Mem: %d
0.1.29-0.1.32 | INFO | amd_windows.go | [%d] GcnArchName: %s
0.1.29-0.1.32 | INFO | amd_windows.go | [%d] Name: %s
0.1.29-0.1.32 | INFO | amd_windows.go | [%d] Total Mem: %d
0.1.29-0.1.32 | INFO | amd_windows.go | amdgpu [%d] %s is supported
0.1.29-0.1.32 | INFO | amd_windows.go | detected %d hip devices
0.1.26-0.1.32 | DEBUG | amd_windows.go | error looking up amd driver version: %s
0.1.33-0.1.34 | INFO | amd_windows.go | failed to parse version | error,version
0.1.29-0.1.32 | INFO | amd_windows.go | iGPU detected [%d] skipping
0.1.18-0.1.32 | INFO | assets.go | Updating PATH to %s
0.1.29-0.5.1 | DEBUG | assets.go | cleaning up | dir
0.3.5-0.5.1 | WARN | assets.go | could not cleanup stale pidfile | error,path
0.3.5-0.5.1 | WARN | assets.go | could not cleanup stale runners | error,path
0.3.5-0.5.1 | WARN | assets.go | could not cleanup stale tmpdir | error,path
0.3.5-0.5.1 | WARN | assets.go | could not read ollama.pid, skipping | error,path
0.1.29-0.5.1 | WARN | assets.go | failed to clean up | dir,err
0.1.30-0.1.44 | DEBUG | assets.go | failed to open ollama.pid | error,path
0.1.45-0.3.4 | WARN | assets.go | failed to parse pid | error,path
0.1.45-0.3.4 | WARN | assets.go | failed to read ollama.pid | error,path
0.1.45-0.3.4 | WARN | assets.go | found running ollama | path,pid
0.1.33-0.1.33 | ERROR | assets.go | incomplete distribution | error
0.3.5-0.5.1 | WARN | assets.go | invalid pid, skipping | error,path
0.3.5-0.5.1 | DEBUG | assets.go | not a ollama runtime directory, skipping | path
0.3.5-0.5.1 | WARN | assets.go | process still running, skipping | path,pid
0.1.33-0.3.4 | WARN | assets.go | unable to cleanup stale tmpdir | error,path
0.1.30-0.1.32 | DEBUG | assets.go | unable to cleanup stale tmpdir %s: %s
0.1.33-0.3.10 | INFO | assets.go | updating | PATH
0.1.25-0.1.28 | INFO | gpu.go | AMD GPU too old, falling back to CPU %s
0.1.22-0.1.28 | INFO | gpu.go | ROCm integrated GPU detected - ROCR_VISIBLE_DEVICES=%s
0.1.22-0.1.28 | INFO | gpu.go | ROCm unsupported integrated GPU detected
0.1.30-0.1.32 | INFO | gpu.go | [cudart] error looking up CUDA compute capability: %s
0.1.30-0.1.32 | INFO | gpu.go | [cudart] error looking up CUDART GPU memory: %s
0.1.30-0.1.32 | INFO | gpu.go | [nvidia-ml] error looking up NVML GPU compute capability: %s
0.1.30-0.1.32 | INFO | gpu.go | [nvidia-ml] error looking up NVML GPU memory: %s
0.1.40-0.1.40 | DEBUG | gpu.go | detected Intel GPUs | count,library
0.1.33-0.1.44 | INFO | gpu.go | error looking up CPU memory | error
0.1.18-0.1.32 | INFO | gpu.go | error looking up CPU memory: %s
0.1.19-0.1.29 | INFO | gpu.go | error looking up CUDA GPU compute capability: %s
0.1.18-0.1.29 | INFO | gpu.go | error looking up CUDA GPU memory: %s
0.1.18-0.1.28 | INFO | gpu.go | error looking up ROCm GPU memory: %s
0.1.21-0.1.28 | INFO | gpu.go | failed to look up ROCm version: %s
0.1.21-0.1.32 | DEBUG | gpu.go | gpu management search paths: %v
0.2.0-0.3.13 | WARN | gpu.go | see https://github.com/ollama/ollama/blob/main/docs/troubleshooting.md for more information
0.1.29-0.1.32 | INFO | gpu.go | user override OLLAMA_MAX_VRAM=%d
"""
_LIBRARY = r"""
0.1.21-0.5.7 | DEBUG | payload.go | Override detection logic by setting OLLAMA_LLM_LIBRARY
0.1.32-0.5.7 | DEBUG | payload.go | availableServers : found | file
0.1.32-0.5.7 | DEBUG | payload.go | could not glob | error,pattern
0.1.32-0.3.10 | ERROR | payload.go | payload lookup error | error
0.1.18-0.1.28 | INFO | payload_common.go | ggml-meta.metal payload missing
0.1.25-0.1.31 | DEBUG | payload_common.go | ordered list of LLM libraries to try %v
0.1.18-0.1.31 | ERROR | payload_common.go | unexpected payload components: %v
0.5.2-0.5.7 | INFO | common.go | GPU runner incompatible with host system, CPU does not have AVX | runner
0.3.11-0.5.1 | ERROR | common.go | empty runner dir
0.1.32-0.5.1 | DEBUG | common.go | extracting | file,payload,runner,variant
0.3.11-0.5.1 | WARN | common.go | failed to cleanup incomplete payload dir | dir,error
0.3.11-0.5.1 | ERROR | common.go | failed to extract files | error
0.3.11-0.5.1 | WARN | common.go | failed to write pid file | error,file
0.5.2-0.5.7 | DEBUG | common.go | no dynamic runners detected, using only built-in
0.5.2-0.5.7 | DEBUG | common.go | runner locate | error
0.5.2-0.5.7 | DEBUG | common.go | runners located | dir
"""

NOTES_GPU: tuple[Rule, ...] = notes("gpu", _GPU) + notes("library", _LIBRARY)
