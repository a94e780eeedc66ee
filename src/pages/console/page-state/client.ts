import { ApiClient } from '../../shared/api-client.ts'

/** The management API of the server of this page. */
export const client = new ApiClient('onnxd-management-token')
