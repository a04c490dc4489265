"""What Ollama's server says: models, downloads, scheduling, requests, beyond the lines that have typed fields: each a plain note.

A row is: first and last version, level, file, message with Go's verbs, keys behind it.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.ollama_note import notes
from vramctl.logs.rule import Rule

_REQUEST = r"""
0.14.0-now | ERROR | anthropic.go | failed to marshal tool arguments | error,tool_id
0.0.15-0.1.1 | INFO | types.go | could not convert model parameter %v to bool, skipped
0.0.15-0.1.1 | INFO | types.go | could not convert model parameter %v to float32, skipped
0.0.15-0.1.1 | INFO | types.go | could not convert model parameter %v to int, skipped
0.0.15-0.1.1 | INFO | types.go | could not convert model parameter %v to slice of strings, skipped
0.0.15-0.1.1 | INFO | types.go | could not convert model parameter %v to slice, skipped
0.0.15-0.1.1 | INFO | types.go | could not convert model parameter %v to string, skipped
0.0.13-0.0.14 | INFO | types.go | could not convert model parmeter %v to bool, skipped
0.0.13-0.0.14 | INFO | types.go | could not convert model parmeter %v to float32, skipped
0.0.13-0.0.14 | INFO | types.go | could not convert model parmeter %v to int, skipped
0.0.13-0.0.14 | INFO | types.go | could not convert model parmeter %v to slice of strings, skipped
0.0.13-0.0.14 | INFO | types.go | could not convert model parmeter %v to slice, skipped
0.0.13-0.0.14 | INFO | types.go | could not convert model parmeter %v to string, skipped
0.11.0-now | WARN | harmonyparser.go | harmony parser: found message start tag in the middle of the content | content
0.11.0-now | ERROR | harmonyparser.go | harmony parser: missing role in header | header
0.11.5-now | WARN | harmonyparser.go | harmony parser: no reverse mapping found for function name | harmonyFunctionName
0.18.0-0.32.5 | WARN | openai.go | ToChunks returned no chunks; falling back to ToChunk for usage chunk | id,model
0.13.1-now | WARN | cogito.go | cogito tool call parsing failed | error
0.30.10-now | WARN | cohere.go | cohere action parsing failed | action,error
0.13.5-now | WARN | deepseek3.go | deepseek tool call parsing failed | error
0.20.0-now | WARN | gemma4.go | gemma4 tool call flush on done failed | content,error
0.20.0-now | WARN | gemma4.go | gemma4 tool call parsing failed | content,error
0.32.7-now | WARN | glimmer.go | glimmer parser recovered stray message boundary token in ATEM invoke name | name
0.14.3-now | WARN | glm46.go | glm-4.6 tool call parsing failed | error
0.14.3-now | WARN | glm46.go | glm46 tool call closing tag found but no content before it
0.14.3-now | WARN | lfm2.go | lfm2 tool call parsing failed | content,error
0.16.3-now | WARN | qwen3.go | qwen3 tool call closing tag found but no content before it
0.16.3-now | WARN | qwen3.go | qwen3 tool call parsing failed | error
0.17.6-now | WARN | qwen35.go | qwen3.5 parser entered unknown state; resetting to content mode | state
0.17.6-now | WARN | qwen35.go | qwen3.5 tool call parsing failed | error
0.12.0-now | WARN | qwen3coder.go | qwen tool call closing tag found but no content before it
0.12.0-now | WARN | qwen3coder.go | qwen tool call parsing failed | error
0.2.6-now | ERROR | openai.go | could not marshall function arguments to json | error
0.1.25-0.2.1 | ERROR | prompt.go | failed to encode prompt | err
0.1.25-0.2.1 | DEBUG | prompt.go | prompt longer than context window, removing image | id,required,window
0.1.25-0.2.1 | DEBUG | prompt.go | prompt now fits in context window | required,window
0.1.25-0.2.1 | DEBUG | prompt.go | required tokens longer than context window, removing first prompt | prompt,required,window
0.1.21-0.1.22 | DEBUG | routes.go | Debug logging enabled
0.31.2-now | WARN | routes.go | OLLAMA_EXPERIMENT=client2 is no longer available. Please remove this environment.
0.23.2-now | WARN | routes.go | account plan was not set; defaulting to free
0.1.35-0.24.0 | WARN | routes.go | bad manifest config | error,name
0.1.35-0.1.39 | WARN | routes.go | bad manifest config filepath | error,name
0.1.35-0.24.0 | WARN | routes.go | bad manifest filepath | error,name,path
0.1.23-0.2.1 | DEBUG | routes.go | chat handler | images,prompt
0.2.2-0.6.8 | DEBUG | routes.go | chat request | images,prompt
0.0.13-0.1.17 | INFO | routes.go | could not load model options: %v
0.0.13-0.1.1 | INFO | routes.go | could not merge model options: %v
0.12.0-now | ERROR | routes.go | couldn't get public key | error
0.12.0-now | WARN | routes.go | embedded messages in the model not supported with '/api/generate'; try '/api/chat' instead
0.1.39-now | INFO | routes.go | evicting intermediate blob which no longer exists | digest
0.8.0-0.9.0 | ERROR | routes.go | failed to create tool parser | error
0.1.23-0.2.1 | DEBUG | routes.go | generate handler | prompt,system,template
0.2.2-0.6.8 | DEBUG | routes.go | generate request | images,prompt
0.0.18-0.1.17 | INFO | routes.go | loaded llm process not responding, closing now
0.0.11-0.0.17 | INFO | routes.go | manifest file does not exist: %s
0.14.0-now | WARN | routes.go | model does not support thinking, relaxing thinking to nil | model
0.12.0-now | INFO | routes.go | remote model | hostname,remoteURL,remotes
0.22.1-now | DEBUG | routes.go | serving model recommendations | count,recommendation_source
0.0.6-0.1.34 | INFO | routes.go | skipping file: %s
0.12.6-now | ERROR | routes.go | streamResponse failed to encode json error | error
0.0.13-now | INFO | routes.go | streamResponse: json.Marshal failed with %s
0.0.13-now | INFO | routes.go | streamResponse: w.Write failed with %s
0.5.0-now | WARN | routes.go | the context field is deprecated and will be removed in a future version of Ollama
"""
_SERVER = r"""
0.0.14-now | INFO | auth.go | Failed to load private key: %v
0.16.2-now | DEBUG | config.go | envconfig: could not parse server config | error
0.16.2-now | DEBUG | config.go | envconfig: could not read server config | error
0.3.7-0.3.10 | ERROR | config.go | unable to locate llm runner directory. Set OLLAMA_RUNNERS_DIR to the location of 'ollama/runners'
0.1.34-0.3.6 | ERROR | config.go | unable to locate llm runner directory. Set OLLAMA_RUNNERS_DIR to the location of 'ollama_runners'
0.15.5-0.17.7 | WARN | aliases.go | empty prefix alias in router config
0.16.2-0.17.7 | DEBUG | aliases.go | failed to parse existing server config; preserving unknown fields skipped | error,path
0.15.5-0.17.7 | WARN | aliases.go | invalid alias name in router config | alias
0.15.5-0.17.7 | WARN | aliases.go | invalid alias target in router config | target
0.0.14-0.1.25 | INFO | auth.go | couldn't get token: %q
0.18.0-now | INFO | cloud_proxy.go | cloud base URL override enabled | env,mode,url
0.18.0-now | WARN | cloud_proxy.go | cloud proxy response copy failed | error,path,request_context_canceled,request_context_err,status,upstream_path
0.18.0-now | DEBUG | cloud_proxy.go | cloud proxy response stream closed by client | path,status
0.18.0-now | WARN | cloud_proxy.go | cloud proxy signing failed | error
0.18.0-now | WARN | cloud_proxy.go | ignoring cloud base URL override | env,error
0.3.6-now | DEBUG | create.go | could not create new layer from layer | error
0.5.5-now | DEBUG | create.go | create model from model name | from
0.5.5-now | ERROR | create.go | error converting from safetensors | error
0.5.5-now | ERROR | create.go | error decoding ggml: %s
0.5.6-now | ERROR | create.go | error getting blobs path | file
0.5.6-now | ERROR | create.go | error reading file | error
0.30.0-now | WARN | create.go | failed to remove temporary split GGUF links | dir,error
0.5.5-now | ERROR | create.go | unsupported content type: %s
0.18.3-now | WARN | inference_request_log.go | failed to read request body for debug logging | error,route
0.18.3-now | WARN | inference_request_log.go | failed to write debug request body | error,route
0.18.3-now | WARN | inference_request_log.go | failed to write debug request replay command | error,route
0.18.3-now | INFO | inference_request_log.go | logged to %s, replay using curl with `sh %s`
0.18.3-now | INFO | inference_request_log.go | request debug logging enabled; inference request logs will be stored in %s and include request bodies and replay curl commands
0.2.7-0.3.10 | ERROR | model.go | parseToolCalls | error
0.1.47-0.1.48 | WARN | model.go | skipped extracting file outside of context | name
0.1.42-now | DEBUG | model.go | template detection | error,template
0.30.0-now | WARN | model_list_cache.go | failed to hydrate model list cache | error,model
0.30.0-now | DEBUG | model_list_cache.go | failed to read gguf model metadata | error,model
0.30.0-now | WARN | model_list_cache.go | failed to refresh model list cache | error,model
0.30.0-now | INFO | model_list_cache.go | model list cache hydration complete | elapsed,failures,models
0.30.0-now | WARN | model_list_cache.go | model list cache hydration failed | error
0.12.4-now | WARN | model_list_cache.go | model template contains errors | error,model
0.30.0-now | DEBUG | model_list_cache.go | starting model list cache
0.22.1-now | WARN | model_recommendations.go | dropping cloud recommendation missing limits | model
0.22.1-now | WARN | model_recommendations.go | failed to parse model recommendations snapshot | error,path
0.22.1-now | WARN | model_recommendations.go | failed to persist model recommendations snapshot | error
0.22.1-now | WARN | model_recommendations.go | failed to read model recommendations snapshot | error,path
0.22.1-now | WARN | model_recommendations.go | failed to resolve model recommendations snapshot path | error
0.22.1-now | WARN | model_recommendations.go | ignoring invalid model recommendations snapshot | error,path
0.22.1-now | DEBUG | model_recommendations.go | loaded model recommendations snapshot | count,path
0.22.1-now | INFO | model_recommendations.go | model recommendations cache sleep scheduled | consecutive_failures,wait
0.22.1-now | WARN | model_recommendations.go | model recommendations read refresh failed | error
0.22.1-now | WARN | model_recommendations.go | model recommendations refresh failed | error
0.22.1-now | DEBUG | model_recommendations.go | model recommendations refreshed | count
0.22.1-now | DEBUG | model_recommendations.go | model recommendations snapshot not found | path
0.22.1-now | DEBUG | model_recommendations.go | persisted model recommendations snapshot | count,path
0.22.1-now | DEBUG | model_recommendations.go | refreshing model recommendations from remote | url
0.22.1-now | DEBUG | model_recommendations.go | skipping model recommendations read refresh because cloud is disabled
0.22.1-now | DEBUG | model_recommendations.go | skipping model recommendations refresh because cloud is disabled
0.22.1-now | DEBUG | model_recommendations.go | skipping timer model recommendations refresh because refresh is already running
0.22.1-now | DEBUG | model_recommendations.go | starting model recommendations cache | default_recommendations,fetch_timeout,refresh_interval
0.22.1-now | DEBUG | model_recommendations.go | stopping model recommendations cache
0.22.1-now | DEBUG | model_recommendations.go | triggering model recommendations refresh on read
0.23.2-now | WARN | model_show_cache.go | failed to decode manifest config while checking model show cache eligibility | error
0.23.2-now | WARN | model_show_cache.go | failed to hydrate cloud model show cache | error,model
0.23.2-now | WARN | model_show_cache.go | failed to hydrate local model show cache | error,model
0.23.2-now | WARN | model_show_cache.go | failed to open manifest config while checking model show cache eligibility | error
0.23.2-now | WARN | model_show_cache.go | model show cloud cache hydration failed | error
0.23.2-now | WARN | model_show_cache.go | model show cloud read refresh failed | error,model
0.23.2-0.24.0 | WARN | model_show_cache.go | model show local cache hydration failed | error
0.23.2-now | DEBUG | model_show_cache.go | skipping model show cloud cache hydration because cloud is disabled
0.23.2-now | DEBUG | model_show_cache.go | skipping model show cloud read refresh because cloud is disabled | model
0.23.2-now | DEBUG | model_show_cache.go | starting model show cache
0.23.2-now | DEBUG | model_show_cache.go | triggering model show cloud refresh on read | model,verbose
0.30.0-now | INFO | quantization.go | quantizing model | input,output,type
0.30.0-now | INFO | quantization.go | restored embedded compatibility tensors after llama-quantize | count
0.7.0-0.24.0 | DEBUG | quantization.go | tensor quantization adjusted for better quality | name,quantization,requested
"""
_DOWNLOAD = r"""
0.1.40-now | WARN | manifest.go | bad filepath | error,path
0.1.35-now | WARN | manifest.go | bad manifest | error,name
0.1.40-now | WARN | manifest.go | bad manifest name | error,path
0.1.43-now | DEBUG | manifest.go | layer does not exist | digest
0.0.6-0.1.1 | INFO | download.go | couldn't download blob: %v
0.3.1-now | WARN | download.go | failed to get direct URL; backing off and retrying | err
0.0.15-0.1.1 | INFO | download.go | retrying download of %s
0.0.6-0.1.1 | INFO | download.go | success getting %s
0.0.12-0.1.7 | INFO | images.go | Layer %s already exists
0.32.10-now | DEBUG | images.go | MLX is unavailable for safetensors model pull | error
0.1.4-now | INFO | images.go | WARNING: model contains embeddings, but embeddings in modelfiles have been deprecated and will be ignored.
0.0.6-0.1.20 | INFO | images.go | [%s] - %s
0.0.6-0.0.6 | INFO | images.go | already have %s
0.0.6-0.1.7 | INFO | images.go | couldn't check for blob: %v
0.0.6-0.1.13 | INFO | images.go | couldn't create %s
0.0.12-0.1.7 | INFO | images.go | couldn't finish upload: %v
0.0.12-now | INFO | images.go | couldn't get file path for '%s': %v
0.0.6-0.1.7 | INFO | images.go | couldn't get manifest: %v
0.1.33-0.4.3 | ERROR | images.go | couldn't get public key: %v
0.30.0-now | ERROR | images.go | couldn't open projector file | error
0.0.19-now | INFO | images.go | couldn't read dir '%s': %v
0.1.35-now | ERROR | images.go | couldn't remove blob | blob,digest,error
0.0.11-now | INFO | images.go | couldn't remove file '%s': %v
0.0.12-now | INFO | images.go | couldn't remove file with digest mismatch '%s': %v
0.0.11-0.1.39 | INFO | images.go | couldn't remove manifest file '%s': %v
0.3.5-now | ERROR | images.go | couldn't remove unused layers: %v
0.0.6-0.1.10 | INFO | images.go | couldn't start upload: %v
0.21.0-now | ERROR | images.go | couldn't stat blob | blob,error
0.0.6-0.0.12 | INFO | images.go | couldn't upload blob: %v
0.0.6-now | INFO | images.go | couldn't write to %s
0.0.18-0.1.33 | INFO | images.go | error executing template: %q
0.0.18-0.1.33 | INFO | images.go | error parsing template: %q
0.1.18-0.1.18 | INFO | images.go | error pulling parent model: %v
0.0.6-now | INFO | images.go | error uploading blob: %v
0.1.33-0.4.3 | ERROR | images.go | failed to decode jwt payload: %v
0.0.14-0.1.3 | INFO | images.go | failed to generate embedding for '%s' line %d: %v
0.1.33-0.4.3 | ERROR | images.go | failed to unmarshal payload JSON: %v
0.1.33-0.4.3 | ERROR | images.go | jwt does not contain 'sub' field
0.1.33-0.1.43 | ERROR | images.go | jwt token does not contain 3 parts
0.0.6-0.0.15 | INFO | images.go | manifest = %#v
0.19.0-now | DEBUG | images.go | manifest written | path,sha256,size
0.30.0-now | WARN | images.go | model is missing tokenizer.chat_template and Go TEMPLATE support is unavailable; chat responses may be poorly formatted | env,model
0.4.0-now | WARN | images.go | pulling model with bad existing manifest | error,name
0.0.6-0.1.1 | INFO | images.go | redirected to: %s
0.1.11-now | INFO | images.go | request failed: %v
0.12.0-now | WARN | images.go | unknown capabilities for model | model
0.2.0-now | ERROR | images.go | unknown capability | capability
0.0.18-0.1.3 | INFO | images.go | unknown type: %s
0.30.0-0.30.0 | DEBUG | images.go | using GGUF chat_template because it has stronger capabilities than Go TEMPLATE | chat_template_capabilities,go_template_capabilities,model
0.0.19-0.1.34 | INFO | images.go | wanted to remove: %s
0.0.19-0.0.19 | INFO | upload.go | chunk interrupted: %v
0.0.20-0.1.7 | INFO | upload.go | retrying redirected upload: %v
0.1.8-now | INFO | upload.go | uploading %s in %d %s part(s)
"""
_SCHEDULER = r"""
0.1.33-now | DEBUG | sched.go | after processing request finished event | model,modelPath,refCount,runner
0.1.33-now | DEBUG | sched.go | context for request finished | runner
0.1.45-0.11.4 | DEBUG | sched.go | cpu inference mode, model fits in available system memory | available,model
0.1.45-0.11.4 | DEBUG | sched.go | cpu mode with available system memory or first model, loading
0.1.33-0.1.44 | DEBUG | sched.go | cpu mode with existing models, loading
0.1.45-0.11.4 | DEBUG | sched.go | cpu mode with first model, loading
0.1.45-0.11.4 | DEBUG | sched.go | delaying scheduling while other models finish loading | attempts,model
0.7.0-now | DEBUG | sched.go | duplicate expired event, ignoring | runner
0.1.33-now | DEBUG | sched.go | evaluating already loaded | model
0.1.45-0.11.4 | DEBUG | sched.go | evaluating if CPU model load will fit in available system memory
0.1.33-now | DEBUG | sched.go | expired event with positive ref count, retrying | model,modelPath,refCount,runner
0.1.33-0.1.38 | ERROR | sched.go | finished requeset signal received after model unloaded | model,modelPath
0.1.39-now | ERROR | sched.go | finished request signal received after model unloaded | modelPath
0.7.0-now | DEBUG | sched.go | finished setting up | runner
0.1.33-0.6.8 | DEBUG | sched.go | finished setting up runner | model
0.30.0-now | DEBUG | sched.go | first model load requested retry | model
0.1.33-now | DEBUG | sched.go | found an idle runner to unload | runner
0.1.33-0.6.8 | DEBUG | sched.go | got lock to unload | model,modelPath,runner
0.7.0-now | DEBUG | sched.go | got lock to unload expired event | runner
0.1.33-now | DEBUG | sched.go | gpu reported | available,gpu,library
0.1.33-now | DEBUG | sched.go | ignoring unload event with no pending requests
0.1.33-0.1.33 | ERROR | sched.go | invalid parallel setting, must be greater than zero | OLLAMA_NUM_PARALLEL,error
0.1.33-now | DEBUG | sched.go | loading first model | model
0.7.0-now | WARN | sched.go | model was still loaded | new_runner,old_runner
0.1.33-now | DEBUG | sched.go | no idle runners, picking the shortest duration | count,runner,runner_count
0.1.45-now | DEBUG | sched.go | no loaded runner to unload
0.7.0-now | DEBUG | sched.go | no need to wait for VRAM recovery | runner
0.7.1-now | DEBUG | sched.go | orphaned runner shutting down | loaded,orphan
0.1.45-0.11.4 | DEBUG | sched.go | overlapping loads detected | gpus,model
0.1.34-now | DEBUG | sched.go | pending request cancelled or timed out, skipping scheduling
0.30.0-now | WARN | sched.go | requested main_gpu is outside the selected GPU group; passing value through to llama-server | gpu_count,main_gpu
0.1.33-0.6.8 | DEBUG | sched.go | runner released | model,modelPath,runner
0.1.33-0.12.3 | ERROR | sched.go | runner to expire was nil!
0.12.4-now | DEBUG | sched.go | runner to expire was nil, retrying
0.11.5-now | DEBUG | sched.go | shutting down currently loading runner
0.1.33-now | DEBUG | sched.go | shutting down runner | model
0.1.33-now | DEBUG | sched.go | shutting down scheduler completed loop
0.30.0-now | DEBUG | sched.go | shutting down scheduler during evict-all wait
0.1.33-now | DEBUG | sched.go | shutting down scheduler pending loop
0.7.0-now | DEBUG | sched.go | starting background wait for VRAM recovery | runner
0.1.33-now | DEBUG | sched.go | starting llm scheduler
0.1.33-now | WARN | sched.go | unexpected nil runner reference, memory prediction may be incorrect
0.2.0-now | DEBUG | sched.go | updating default concurrency | OLLAMA_MAX_LOADED_MODELS,gpu_count
0.1.33-now | DEBUG | sched.go | waiting for pending requests to complete and unload to occur | model,modelPath,runner
"""

NOTES_SERVER: tuple[Rule, ...] = notes("request", _REQUEST) + notes("server", _SERVER) + notes("download", _DOWNLOAD) + notes("scheduler", _SCHEDULER)
